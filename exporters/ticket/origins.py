"""Where the moved weights of a continuous subnetwork come from, of all layers together.

A weight moved if its value is not number i of draw 0, i being its own place. Of those, some come from
elsewhere in the layer (a source other than i), the rest were drawn again in place (a draw other than 0).
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket import layout, planes
from recycle_pipeline.exporters.ticket.coding.frames import NARROW, WIDE, decode_symbols, encode_symbols
from recycle_pipeline.exporters.ticket.coding.streams import Counts, counts_of, decode_bits, encode_bits
from recycle_pipeline.exporters.ticket.coding.tables import SYMBOLS, UNIFORM, Frequencies
from recycle_pipeline.exporters.ticket.fields import entries, integer
from recycle_pipeline.exporters.ticket.smoothing import cheapest
from recycle_pipeline.exporters.ticket.tallied import Symbols, table_of, tally_of
from recycle_pipeline.models.subnetwork import MaskedTensor

Bits = NDArray[np.bool_]
Places = NDArray[np.intp]
Draws = NDArray[np.int16]
Sources = NDArray[np.int32]
DRAW, SOURCE = np.dtype("<u2"), np.dtype("<u4")
MAX_DRAW = (1 << 15) - 1
HIGHS = MAX_DRAW // 256 + 1  # high bytes of draws, at most
FIELDS = {"elsewhere", "planes"}


def encoded(
    tensors: Sequence[MaskedTensor], kept: Sequence[Places], moved: Sequence[Bits | None]
) -> tuple[dict[str, bytes], dict[str, Any] | None]:
    """The parts, and what the header says of them; nothing if only signs matter."""
    draws, elsewhere, sources = [], [], []
    for tensor, places, bits in zip(tensors, kept, moved, strict=True):
        if bits is None or tensor.sign_only or tensor.draws is None or tensor.sources is None:
            continue
        own, origin = places[bits], tensor.sources[bits]
        draws.append(tensor.draws[bits].astype(DRAW))
        elsewhere.append(origin != own)
        sources.append(origin[origin != own].astype(SOURCE))
    if not draws:
        return {}, None
    numbers, away = np.concatenate(draws), np.concatenate(elsewhere)
    found = [plane for row in (numbers[~away], numbers[away]) for plane in _draws_tallied(row)]
    found += [plane for row in sources for plane in planes.tallied(row)]
    segments, tallies = [planes.segment(*each) for each in found], [tally for _, tally in found]
    counts = counts_of([away])[0]
    parts = {layout.ELSEWHERE: encode_bits([away]), layout.SOURCES: encode_symbols(segments)}
    return parts, {"elsewhere": [counts.kept, counts.gaps], "planes": tallies}


def elsewhere_from(frame: bytes, told: Any, moved: int, bits: int = NARROW) -> Bits:
    """Which of the `moved` weights come from elsewhere; words have so many bits.

    Raises:
        ValueError: they cannot.
    """
    kept, gaps = entries(told["elsewhere"], 2, 2)
    counts = Counts(moved, integer(kept, 0, moved), integer(gaps, 0, moved))
    return decode_bits(frame, [counts], bits)[0]


def decoded(
    frame: bytes, told: Any, away: Bits, layers: Sequence[tuple[Places, tuple[int, ...]]], joint: bool
) -> list[tuple[Draws, Sources]]:
    """Draw number and source of each moved weight, layer by layer.

    Args:
        frame: the part.
        told: what the header says.
        away: which come from elsewhere.
        layers: the places of the moved weights, and the layer's shape.
        joint: whether low bytes of draws are coded by their high bytes and words narrow, as in version 4.

    Raises:
        ValueError: the frame is damaged, or cannot be of these weights.
    """
    ends = np.cumsum([len(places) for places, _ in layers])[:-1]
    by_layer = np.split(away, ends)
    counts = [int(np.count_nonzero(bits)) for bits in (~away, away, *by_layer)]
    listed = entries(told["planes"], 0, 2 * (HIGHS + 1) + SOURCE.itemsize * len(layers))
    tallies = _each(listed)
    rows = [_draws_segments(count, tallies, joint) for count in counts[:2]]
    rows += [planes.segments_of(count, SOURCE, tallies) for count in counts[2:]]
    if sum(map(len, rows)) != len(listed):
        raise ValueError("more tallies than there are planes")
    segments = [segment for row in rows for segment in row]
    symbols = iter(decode_symbols(frame, segments, NARROW if joint else WIDE))
    draws = np.zeros(len(away), DRAW)
    for bits, row in zip((~away, away), rows[:2], strict=True):
        draws[bits] = _draws_decoded(symbols, len(row) - 1) if joint else planes.decoded(symbols, DRAW)
    if not draws[~away].all() or draws.max(initial=0) > MAX_DRAW:
        raise ValueError(f"a draw of more than {MAX_DRAW}, or a weight that moved is where it was")
    found = []
    for (places, shape), bits, own in zip(layers, by_layer, np.split(draws, ends), strict=True):
        origin = places.copy()
        origin[bits] = planes.decoded(symbols, SOURCE)
        if (origin[bits] == places[bits]).any() or origin.max(initial=0) >= math.prod(shape):
            raise ValueError("a source is beyond its layer, or a weight from elsewhere is from its own place")
        found.append((own.astype(np.int16), origin.astype(np.int32)))
    return found


def _each(tallies: list[Any]) -> Iterator[Any]:
    yield from tallies
    raise ValueError("fewer tallies than there are planes")


def _draws_tallied(draws: NDArray[np.uint16]) -> list[tuple[Symbols, planes.Tally]]:
    """The high bytes with their counts; then the low bytes of each high byte that there is."""
    low, high = planes.planes_of(draws)
    rows = [low[high == value] for value in np.unique(high)]
    return [(high, tally_of(high)), *((row, cheapest(tally_of(row))) for row in rows)]


def _draws_segments(count: int, tallies: Iterator[Any], joint: bool) -> list[tuple[int, Frequencies]]:
    if not joint:
        return planes.segments_of(count, DRAW, tallies)
    high = next(tallies)
    segments = [(count, table_of(high, count))]
    for each in high[: HIGHS if count else 0]:
        if each:
            tally = entries(next(tallies), 0, SYMBOLS)
            segments.append((each, table_of(tally, each) if tally else UNIFORM))
    return segments


def _draws_decoded(symbols: Iterator[Symbols], highs: int) -> NDArray[np.uint16]:
    """Raises ValueError if high bytes come up more or less often than their tally says."""
    high = next(symbols)
    draws: NDArray[np.uint16] = high.astype(np.uint16) << np.uint16(8)
    values = np.unique(high)
    rows = [next(symbols) for _ in range(highs)]
    if len(values) != highs:
        raise ValueError(f"{len(values)} high bytes of draws where there are {highs}")
    for value, row in zip(values, rows, strict=True):
        here = high == value
        if np.count_nonzero(here) != len(row):
            raise ValueError(f"{len(row)} draws with the high byte {value} where there are others")
        draws[here] |= row
    return draws
