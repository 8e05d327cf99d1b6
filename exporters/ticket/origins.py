"""Where the moved weights of a continuous subnetwork come from, of all layers together."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket import layout, provenance
from recycle_pipeline.exporters.ticket.coding.frames import decode_symbols, encode_symbols
from recycle_pipeline.exporters.ticket.coding.streams import Counts, counts_of, decode_bits, encode_bits
from recycle_pipeline.exporters.ticket.coding.tables import uniform
from recycle_pipeline.exporters.ticket.fields import integer
from recycle_pipeline.exporters.ticket.tallied import table_of, tally_of
from recycle_pipeline.models.subnetwork import MaskedTensor

Bits = NDArray[np.bool_]
Places = NDArray[np.intp]


def encoded(
    tensors: Sequence[MaskedTensor], kept: Sequence[Places], moved: Sequence[Bits | None]
) -> tuple[dict[str, bytes], dict[str, Any] | None]:
    """The parts, and what the header says of them; nothing if only signs matter."""
    draws, elsewhere, sources = [], [], []
    for tensor, places, bits in zip(tensors, kept, moved, strict=True):
        if bits is None or tensor.sign_only or tensor.draws is None or tensor.sources is None:
            continue
        own, origin = places[bits], tensor.sources[bits]
        draws.append(tensor.draws[bits])
        elsewhere.append(origin != own)
        sources.append((origin[origin != own], tensor.size))
    if not draws:
        return {}, None
    numbers, away = np.concatenate(draws), np.concatenate(elsewhere)
    here, here_segments = provenance.encoded_numbers(numbers[~away])
    there, there_segments = provenance.encoded_numbers(numbers[away])
    cells = np.concatenate([provenance.cells_of(*each) for each in sources])
    tally = tally_of(cells)
    segments = [*here_segments, *there_segments]
    if len(cells):
        segments.append((cells, table_of(tally, len(cells))))
    segments += [digit for each in sources for digit in provenance.digits_of(*each)]
    counts = counts_of([away])[0]
    told = {"elsewhere": [counts.kept, counts.gaps], "here": here, "there": there, "cells": tally}
    return {layout.ELSEWHERE: encode_bits([away]), layout.SOURCES: encode_symbols(segments)}, told


def elsewhere_from(frame: bytes, told: Any, moved: int) -> Bits:
    """Which of the `moved` weights come from elsewhere. Raises ValueError if they cannot."""
    kept, gaps = told["elsewhere"]
    return decode_bits(frame, [Counts(moved, integer(kept, 0, moved), integer(gaps, 0, moved))])[0]


def decoded(
    frame: bytes, told: Any, away: Bits, layers: Sequence[tuple[Places, tuple[int, ...]]]
) -> list[tuple[provenance.Draws, provenance.Sources]]:
    """Draw number and source of each moved weight, layer by layer.

    Args:
        frame: the part.
        told: what the header says.
        away: which come from elsewhere.
        layers: the places of the moved weights, and the layer's shape.

    Raises:
        ValueError: the frame is damaged, or cannot be of these weights.
    """
    ends = np.cumsum([len(places) for places, _ in layers])
    by_layer = np.split(away, ends[:-1])
    sizes = [math.prod(shape) for _, shape in layers]
    there = int(np.count_nonzero(away))
    numbers = provenance.Numbers(told["here"], len(away) - there), provenance.Numbers(told["there"], there)
    segments = [segment for each in numbers for segment in each.segments]
    if there:
        segments.append((there, table_of(told["cells"], there)))
    for bits, size in zip(by_layer, sizes, strict=True):
        count = int(np.count_nonzero(bits))
        segments += [(count, uniform(radix)) for radix in provenance.radices(size)]
    symbols = iter(decode_symbols(frame, segments))
    draws = np.zeros(len(away), np.int16)
    draws[~away], draws[away] = numbers[0].decoded(symbols), numbers[1].decoded(symbols)
    if not draws[~away].all():
        raise ValueError("a weight that moved is said to be where it was")
    cells, taken, found = next(symbols) if there else np.zeros(0, np.uint8), 0, []
    for (places, _), bits, size, own in zip(layers, by_layer, sizes, np.split(draws, ends[:-1]), strict=True):
        count = int(np.count_nonzero(bits))
        digits = [next(symbols) for _ in provenance.radices(size)]
        origin = places.astype(np.int32)
        origin[bits] = provenance.sources_from(cells[taken : taken + count], digits, size)
        if (origin[bits] == places[bits]).any():
            raise ValueError("a weight from elsewhere is from its own place")
        taken += count
        found.append((own, origin))
    return found
