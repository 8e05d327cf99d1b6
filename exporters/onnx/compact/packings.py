"""How a weight may be packed, what each way takes, and which ways the weights of a model take together."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from recycle_pipeline.exporters.onnx.compact import gaps, trits
from recycle_pipeline.exporters.onnx.compact.drawn import Drawn
from recycle_pipeline.exporters.onnx.compact.levels import Levels
from recycle_pipeline.exporters.onnx.compact.member import Member
from recycle_pipeline.exporters.onnx.compact.seeded import flips_among, seeded

MEMBER_BYTES = 500  # that the operators take in a file which give one weight of several
DECODER_BYTES = 1600  # that those take which unpack some weights packed alike
DRAWING_BYTES = 1600  # that those take besides which draw signs
DRAWING_SAVES = 0.03  # at least, of a weight's bytes
# Of a network's weights, for how many codes of gaps signs are drawn at most: each code, also one of no
# weight, takes 140 bytes of memory while the model is opened, and a session should take no more than twice
# that of the plain model.
DRAWN_MOST = 0.05
DRAWN_ALWAYS = 1 << 16  # so many may be: 9 MB
# What it is worth in `onnx-compact` that a code of gaps need not be taken apart, in bytes: that takes 10 ns.
ENTRY_PRICE = 0.22
MOST_PLACES = 2**31 - 2**16  # of one decoder: places are int32 when unpacked


class Packing(NamedTuple):
    """A way; weights of the same one and of the same type are unpacked together.

    Attributes:
        kind: gaps, bytes, trits, values or seed.
        width: bits of a gap; 0 for trits.
        type: of the weight's numbers, as numpy names it.
    """

    kind: str
    width: int
    type: str

    def __str__(self) -> str:
        name = {"seed": "seed, ", "values": "values, "}.get(self.kind, "")
        return self.kind if self.kind in ("trits", "bytes") else f"{name}gaps of {self.width} bits"

    @property
    def decoder_bytes(self) -> int:
        """Of its operators, which all weights that take this way share."""
        return DECODER_BYTES + DRAWING_BYTES * (self.kind == "seed")

    def worth(self, cost: int, entry_price: float) -> float:
        """Bytes and the time that unpacking takes, in bytes.

        Args:
            cost: bytes.
            entry_price: of a code of gaps.
        """
        return cost + entry_price * 8 * cost / (self.width + 1) if self.kind == "gaps" else cost


Costs = Mapping[Packing, int]


def costs_of(member: Member) -> Costs:
    """The bytes that a weight would take in each way that it has; none for one that cannot be packed."""
    weight, levels = member.weight, member.levels
    if not 0 < weight.size <= MOST_PLACES or not np.isfinite(weight).all():
        return {}
    places = np.flatnonzero(weight)
    counts = {width: gaps.count_of(places, width) for width in gaps.WIDTHS}
    kind, found = weight.dtype.str, dict[Packing, int]()
    for width, count in counts.items():
        found[Packing("values", width, kind)] = gaps.bytes_of(count, width + 8 * weight.itemsize)
    if levels is None or not member.ternary:
        return found
    for width, count in counts.items():
        found[Packing("gaps", width, kind)] = gaps.bytes_of(count, width + 1) + levels.scale.nbytes
    if member.quarters:
        found[Packing("bytes", gaps.BYTE_WIDTH, kind)] = counts[gaps.BYTE_WIDTH] + levels.scale.nbytes
    found[Packing("trits", 0, kind)] = -(-weight.size // trits.EACH) + levels.scale.nbytes
    drawn = member.drawn
    if drawn is not None and len(places) and _fits(drawn, member):
        most = min(found.values()) * (1 - DRAWING_SAVES)
        found |= {way: cost for way, cost in _of_drawn(levels, drawn, kind).items() if cost <= most}
    return found


def _fits(drawn: Drawn, member: Member) -> bool:
    return member.weight.dtype == np.float32 and drawn.fits(member.weight.shape) and drawn.size <= MOST_PLACES


def _of_drawn(levels: Levels, drawn: Drawn, kind: str) -> Costs:
    found, costs = seeded(levels, drawn), {}
    for width in gaps.WIDTHS:
        entries = gaps.entries_of(found.places, width)
        of_flips = gaps.narrowest(flips_among(entries, found.flipped))[1]
        of_gaps = gaps.bytes_of(len(entries.gaps), width)
        costs[Packing("seed", width, kind)] = of_gaps + of_flips + found.scale.nbytes + drawn.bytes
    return costs


def within_memory(costs: Sequence[Costs], members: Sequence[Member]) -> list[Costs]:
    """The costs without those of drawn signs, where a network would draw too many.

    Weights keep them in the order of what a drawn code saves, as long as all together stay within
    `DRAWN_MOST`, or `DRAWN_ALWAYS` of a small network. Of a weight's ways those stay that draw no more codes
    than its smallest.

    Args:
        costs: of each weight.
        members: the weights.
    """
    found: list[Costs] = [{way: cost for way, cost in each.items() if way.kind != "seed"} for each in costs]
    codes, drawn, saves = dict[int, Mapping[int, int]](), dict[int, int](), dict[int, float]()
    for number, (each, without) in enumerate(zip(costs, found, strict=True)):
        if each.keys() != without.keys():
            smallest = min(each.keys() - without.keys(), key=lambda way: (each[way], way))
            codes[number] = _codes_drawn(members[number])
            drawn[number] = codes[number][smallest.width]
            saves[number] = (min(without.values()) - min(each.values())) / drawn[number]
    left = max(DRAWN_ALWAYS, int(DRAWN_MOST * sum(member.weight.size for member in members)))
    for number in sorted(saves, key=lambda number: -saves[number]):
        if drawn[number] <= left:
            left -= drawn[number]
            found[number] = {
                way: cost
                for way, cost in costs[number].items()
                if way in found[number] or codes[number][way.width] <= drawn[number]
            }
    return found


def _codes_drawn(member: Member) -> Mapping[int, int]:
    """For how many codes a weight's signs are drawn, by the bits of a gap."""
    assert member.levels is not None and member.drawn is not None
    places = np.flatnonzero(member.drawn.laid_out(member.levels.signs))
    return {width: gaps.count_of(places, width) for width in gaps.WIDTHS}


def chosen(costs: Sequence[Costs], plain: Sequence[int], entry_price: float = 0.0) -> list[Packing | None]:
    """The way of each weight, for about the fewest bytes of all together; None for as it is.

    Every way that any weight takes costs operators once. So one after the other is given up, that which saves
    most, as long as that saves anything.

    Args:
        costs: of each weight.
        plain: bytes of each as it is.
        entry_price: see `Packing.worth`.
    """
    worth = [{way: way.worth(cost, entry_price) for way, cost in each.items()} for each in costs]
    ways = {way for each in costs for way in each}

    def taken(ways: set[Packing]) -> list[Packing | None]:
        found: list[Packing | None] = []
        for each, size in zip(worth, plain, strict=True):
            best = min(ways & each.keys(), key=lambda way: (each[way], way), default=None)
            found.append(best if best is not None and each[best] + MEMBER_BYTES < size else None)
        return found

    def total(ways: set[Packing]) -> float:
        found = taken(ways)
        weights = sum(
            size if way is None else each[way] + MEMBER_BYTES
            for way, each, size in zip(found, worth, plain, strict=True)
        )
        return weights + sum(way.decoder_bytes for way in {way for way in found if way is not None})

    while ways:
        fewer = min((ways - {way} for way in sorted(ways)), key=total)
        if total(fewer) > total(ways):
            break
        ways = fewer
    return taken(ways)
