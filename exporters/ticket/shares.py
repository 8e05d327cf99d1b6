"""How much of the streams that layers share is each layer's: in proportion to its information."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket import layout, version4
from recycle_pipeline.exporters.ticket.coding.frames import lanes_of
from recycle_pipeline.exporters.ticket.columns import bits_in_stages, columns_of
from recycle_pipeline.exporters.ticket.container import Container
from recycle_pipeline.exporters.ticket.contexts.context import CLASSES
from recycle_pipeline.exporters.ticket.contexts.grouped import Bits, Of, OfAll, OfKept
from recycle_pipeline.exporters.ticket.earlier import version3
from recycle_pipeline.exporters.ticket.header import Header, header_in
from recycle_pipeline.models.kept_digest import BYTES

Floats = NDArray[np.float64]
Counts = tuple[NDArray[np.intp], NDArray[np.intp]]  # of each class: bits that are set, and that are not
CARRIED = 4  # bytes of a lane, in version 4


@dataclass(frozen=True)
class Shared:
    """What the layers of a ticket share.

    Attributes:
        header: of the ticket.
        masks, moved: by layer, counts of the bits of its mask, and of those that say which weights moved.
    """

    header: Header
    masks: list[Counts]
    moved: list[Counts]


def shared_in(container: Container) -> Shared:
    """Counts of the bits in a ticket of version 3 or 4. Raises TicketFault, see `reader.load_ticket`."""
    staged = container.version > layout.UNSTAGED_VERSION
    header, layers = _staged_bits(container) if staged else _plain_bits(container)
    found: tuple[list[Counts], list[Counts]] = [], []
    for bits in layers:
        counts = [(np.zeros(CLASSES, np.intp), np.zeros(CLASSES, np.intp)) for _ in found]
        for which, of, own in bits:
            _count(counts[which], of, own)
        for each, own_counts in zip(found, counts, strict=True):
            each.append(own_counts)
    return Shared(header, *found)


def information_of(container: Container) -> tuple[float, float]:
    """Bits that a ticket's masks, and its bits of what moved, are worth under its contexts."""
    shared = shared_in(container)
    return float(information(shared.masks).sum()), float(information(shared.moved).sum())


def sizes_in(container: Container) -> tuple[dict[str, float], int]:
    """Bytes of each layer's streams by its name, and of the state: all parts but the header.

    What lanes carry of the state is the state's, and of digests the header's.
    """
    shared = shared_in(container)
    layers = shared.header.layers
    symbols = [sum(n.cells + sum(n.levels) for n in (x.context, x.moved) if n is not None) for x in layers]
    drawn = [float(s.sum()) * (not x.sign_only) for (s, _), x in zip(shared.moved, layers, strict=True)]
    shares = {
        layout.CONTEXTS: np.array(symbols, np.float64),
        layout.MASKS: information(shared.masks),
        layout.MOVED: information(shared.moved),
        layout.ELSEWHERE: np.array(drawn),
        layout.SOURCES: np.array(drawn),
    }
    sizes = {part: array.nbytes for part, array in container.parts.items()}
    if container.version > layout.UNSTAGED_VERSION:
        sizes |= sections_of(container, shared)
        raw = carried_in(container) + sizes.get(layout.RAW, 0) - BYTES * (len(layers) + 1)
        sizes[layout.STATE] += max(0, raw) if shared.header.said["state"] else 0
    taken = sum(_shared(sizes.get(part, 0), share) for part, share in shares.items())
    names = (layer.name for layer in layers)
    return dict(zip(names, _whole(np.asarray(taken)), strict=True)), sizes.get(layout.STATE, 0)


def sections_of(container: Container, shared: Shared) -> dict[str, int]:
    """Of a ticket of version 4, what contexts, masks, moves and coded planes of the state take of `coded`.

    In proportion to their information; without what lanes carry.
    """
    said = shared.header.said
    worth = {
        layout.CONTEXTS: sum(_tally_bits(tally) for tally in said["tallies"].values()),
        layout.MASKS: float(information(shared.masks).sum()),
        layout.MOVED: float(information(shared.moved).sum()),
        layout.STATE: sum(map(_tally_bits, said["planes"])),
    }
    whole, total = container.parts[layout.CODED].nbytes - carried_in(container), sum(worth.values())
    found = _whole(np.array([bits * whole / total if total else 0 for bits in worth.values()]))
    found[0] += whole - sum(found)
    return dict(zip(worth, map(int, found), strict=True))


def _tally_bits(tally: list[int]) -> float:
    """Of symbols that come up as often as their tally says."""
    counts = np.array(tally, np.float64)
    return float(counts @ np.log2(max(counts.sum(), 1) / np.maximum(counts, 1)))


def carried_in(container: Container) -> int:
    """Raw bytes that the lanes of a ticket of version 4 carry."""
    return CARRIED * lanes_of(container.parts[layout.CODED].tobytes())


def information(layers: Sequence[Counts]) -> Floats:
    """Bits that each layer's bits are worth, where their odds are those of their class over all layers."""
    set_, unset = (np.array(counts, np.float64) for counts in zip(*layers, strict=True))
    total = set_ + unset
    found: Floats = set_ @ _costs(set_, total) + unset @ _costs(unset, total)
    return found


LayerBits = Iterator[tuple[int, Of, Bits]]  # 0 for the mask's or 1 for those of what moved, classes, bits


def _staged_bits(container: Container) -> tuple[Header, list[LayerBits]]:
    streams = version4.Streams(container)
    subnetwork, _ = version4.read_in(container)
    layers: list[LayerBits] = []
    of = zip(streams.header.layers, subnetwork.tensors, streams.of_masks, streams.of_moved, strict=True)
    for layer, tensor, context, other in of:
        stages = version4.stages_of(layer, subnetwork.seed, context, other)
        kept = np.flatnonzero(tensor.mask)
        columns = columns_of(tensor, stages.positions, kept, tensor.moved_bits(kept))
        bits = bits_in_stages(columns, stages)
        layers.append((which, stage, own) for which, _, stage, own, _ in bits)
    return streams.header, layers


def _plain_bits(container: Container) -> tuple[Header, list[LayerBits]]:
    header, subnetwork = header_in(container), version3.subnetwork_in(container)
    of_masks, of_moved = version3.contexts_in(container, header)
    layers: list[LayerBits] = []
    for layer, tensor, context, other in zip(
        header.layers, subnetwork.tensors, of_masks, of_moved, strict=True
    ):
        classes = version3.classes_in(layer, context, subnetwork.seed)
        found: list[tuple[int, Of, Bits]] = [(0, OfAll(classes), tensor.mask.reshape(-1))]
        bits = tensor.moved_bits()
        if other is not None and bits is not None:
            classes = version3.classes_in(layer, other, subnetwork.seed)
            found.append((1, OfKept(classes, tensor.mask, layer.kept), bits))
        layers.append(iter(found))
    return header, layers


def _count(counts: Counts, of: Of, bits: Bits) -> None:
    set_, unset = counts
    if of.constant is not None:
        some = int(np.count_nonzero(bits))
        set_[of.constant] += some
        unset[of.constant] += len(bits) - some
        return
    for run, classes in of.runs():
        some_of = np.bincount(classes[bits[run]], minlength=CLASSES)
        set_ += some_of
        unset += np.bincount(classes, minlength=CLASSES) - some_of


def _costs(counts: Floats, total: Floats) -> Floats:
    """Bits of one of these, by class."""
    some, all_ = counts.sum(0), total.sum(0)
    return np.where(some > 0, np.log2(np.maximum(all_, 1) / np.maximum(some, 1)), 0.0)


def _whole(bytes_: Floats) -> list[float]:
    """Whole bytes with the same sum: rounded up where most was cut off."""
    found = np.floor(bytes_)
    up = np.argsort(found - bytes_, kind="stable")[: round(float((bytes_ - found).sum()))]
    found[up] += 1
    return [float(each) for each in found]


def _shared(size: int, share: Floats) -> Floats:
    """That many bytes in these proportions; evenly if all are 0."""
    return size * (share / share.sum() if share.sum() else np.full(len(share), 1 / len(share)))
