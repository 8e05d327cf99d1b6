"""Bits of many layers sorted by class, each class with the odds that its counts give."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket.coding.frames import NARROW, encode_symbols
from recycle_pipeline.exporters.ticket.coding.streams import (
    Counts,
    Vector,
    counts_of,
    decode_places,
    segments_of,
    vectors_of,
)
from recycle_pipeline.exporters.ticket.coding.tables import Frequencies
from recycle_pipeline.exporters.ticket.contexts.context import CLASSES
from recycle_pipeline.exporters.ticket.contexts.grouped import Bits, Spread
from recycle_pipeline.exporters.ticket.contexts.looked_up import LookedUp
from recycle_pipeline.exporters.ticket.fields import entries, integer
from recycle_pipeline.exporters.ticket.loops import loops

Symbols = NDArray[np.uint8]
ByClass = Spread | LookedUp


def segmented(vectors: Sequence[Bits]) -> tuple[list[tuple[Symbols, Frequencies]], list[int]]:
    """Segments, and for the header [class, its bits, those set, symbols of its gaps] where any is set.

    Args:
        vectors: the bits of each class.
    """
    counts = counts_of(vectors)
    numbers = [[i, each.size, each.kept, each.gaps] for i, each in enumerate(counts) if each.kept]
    return segments_of(vectors), [number for four in numbers for number in four]


def encoded(vectors: Sequence[Bits], bits: int = NARROW) -> tuple[bytes, list[int]]:
    """The same as a frame of their own, of words with so many bits."""
    segments, numbers = segmented(vectors)
    return encode_symbols(segments, bits=bits), numbers


def spread(counts: dict[int, Counts], symbols: Iterator[Symbols]) -> ByClass:
    """The bits again, of the symbols of their segments. Raises ValueError if these are others."""
    return _spread(counts, vectors_of(counts.values(), symbols))


def decoded(frame: bytes, numbers: Any, total: int, bits: int = NARROW) -> tuple[ByClass, bytes]:
    """The inverse of `encoded`, and what its lanes carry. Memory is bounded by the numbers of bits.

    Args:
        frame, numbers: as `encoded` gave them.
        total: the number of bits.
        bits: of a word.

    Raises:
        ValueError: the frame is damaged, or not of these bits.
    """
    counts = counts_from(numbers, total)
    found, carried = decode_places(frame, list(counts.values()), bits)
    return _spread(counts, iter(found)), carried


def _spread(counts: dict[int, Counts], found: Iterator[Vector]) -> ByClass:
    vectors = (next(found) if i in counts else None for i in range(CLASSES))
    if (compiled := loops()) is not None:
        return LookedUp(vectors, sum(each.size for each in counts.values()), compiled)
    return Spread(vectors, sum(each.kept for each in counts.values() if each.coded))


def counts_from(numbers: Any, total: int) -> dict[int, Counts]:
    """Of the classes where any bit is set. Raises ValueError if these cannot be of `total` bits."""
    flat, found, before = entries(numbers, 0, 4 * CLASSES), {}, -1
    if len(flat) % 4:
        raise ValueError(f"{len(flat)} numbers are no classes of four")
    for number, size, kept, gaps in zip(flat[::4], flat[1::4], flat[2::4], flat[3::4], strict=True):
        before = integer(number, before + 1, CLASSES - 1)
        total -= integer(size, 1, total)
        found[before] = Counts(size, integer(kept, 1, size), integer(gaps, 0, size))
    return found
