"""Where the moved weights of a continuous subnetwork come from, of all layers together.

A weight moved if its value is not number i of draw 0, i being its own place. Of those, some come from
elsewhere in the layer (a source other than i), the rest were drawn again in place (a draw other than 0).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket import layout, planes
from recycle_pipeline.exporters.ticket.coding.frames import decode_symbols, encode_symbols
from recycle_pipeline.exporters.ticket.coding.streams import Counts, counts_of, decode_bits, encode_bits
from recycle_pipeline.exporters.ticket.fields import entries, integer
from recycle_pipeline.models.subnetwork import MaskedTensor

Bits = NDArray[np.bool_]
Places = NDArray[np.intp]
Draws = NDArray[np.int16]
Sources = NDArray[np.int32]
DRAW, SOURCE = np.dtype("<u2"), np.dtype("<u4")
MAX_DRAW = (1 << 15) - 1
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
    segments, tallies = [], []
    for row in (numbers[~away], numbers[away], *sources):
        found, told = planes.encoded(row)
        segments += found
        tallies += told
    counts = counts_of([away])[0]
    parts = {layout.ELSEWHERE: encode_bits([away]), layout.SOURCES: encode_symbols(segments)}
    return parts, {"elsewhere": [counts.kept, counts.gaps], "planes": tallies}


def elsewhere_from(frame: bytes, told: Any, moved: int) -> Bits:
    """Which of the `moved` weights come from elsewhere. Raises ValueError if they cannot."""
    kept, gaps = entries(told["elsewhere"], 2, 2)
    return decode_bits(frame, [Counts(moved, integer(kept, 0, moved), integer(gaps, 0, moved))])[0]


def decoded(
    frame: bytes, told: Any, away: Bits, layers: Sequence[tuple[Places, tuple[int, ...]]]
) -> list[tuple[Draws, Sources]]:
    """Draw number and source of each moved weight, layer by layer.

    Args:
        frame: the part.
        told: what the header says.
        away: which come from elsewhere.
        layers: the places of the moved weights, and the layer's shape.

    Raises:
        ValueError: the frame is damaged, or cannot be of these weights.
    """
    ends = np.cumsum([len(places) for places, _ in layers])[:-1]
    by_layer = np.split(away, ends)
    counts = [int(np.count_nonzero(bits)) for bits in (~away, away, *by_layer)]
    kinds: list[np.dtype[Any]] = [DRAW, DRAW, *[SOURCE] * len(layers)]
    planes_in_all = sum(kind.itemsize for kind in kinds)
    tallies = iter(entries(told["planes"], planes_in_all, planes_in_all))
    coded = zip(counts, kinds, strict=True)
    segments = [segment for count, kind in coded for segment in planes.segments_of(count, kind, tallies)]
    symbols = iter(decode_symbols(frame, segments))
    draws = np.zeros(len(away), DRAW)
    draws[~away], draws[away] = planes.decoded(symbols, DRAW), planes.decoded(symbols, DRAW)
    if not draws[~away].all() or draws.max() > MAX_DRAW:
        raise ValueError(f"a draw of more than {MAX_DRAW}, or a weight that moved is where it was")
    found = []
    for (places, shape), bits, own in zip(layers, by_layer, np.split(draws, ends), strict=True):
        origin = places.copy()
        origin[bits] = planes.decoded(symbols, SOURCE)
        if (origin[bits] == places[bits]).any() or origin.max(initial=0) >= math.prod(shape):
            raise ValueError("a source is beyond its layer, or a weight from elsewhere is from its own place")
        found.append((own.astype(np.int16), origin.astype(np.int32)))
    return found
