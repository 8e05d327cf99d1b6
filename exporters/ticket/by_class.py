"""Bits of many layers as one frame: sorted by class, each class with the odds that its counts give."""

from collections.abc import Sequence
from typing import Any

from recycle_pipeline.exporters.ticket.coding.frames import NARROW
from recycle_pipeline.exporters.ticket.coding.streams import (
    Counts,
    counts_of,
    decode_places,
    encode_bits,
)
from recycle_pipeline.exporters.ticket.contexts.context import CLASSES
from recycle_pipeline.exporters.ticket.contexts.grouped import Bits, Spread
from recycle_pipeline.exporters.ticket.fields import entries, integer


def encoded(
    vectors: Sequence[Bits], reserve: bytearray | None = None, bits: int = NARROW
) -> tuple[bytes, list[int]]:
    """The frame, and for the header [class, its bits, those set, symbols of its gaps] where any is set.

    Args:
        vectors: the bits of each class.
        reserve, bits: see `frames.encode_symbols`.
    """
    counts = counts_of(vectors)
    numbers = [[i, each.size, each.kept, each.gaps] for i, each in enumerate(counts) if each.kept]
    return encode_bits(vectors, reserve, bits), [number for four in numbers for number in four]


def decoded(frame: bytes, numbers: Any, total: int, bits: int = NARROW) -> tuple[Spread, bytes]:
    """The inverse, and what its lanes carry. Memory is bounded by the numbers of bits.

    Args:
        frame, numbers: as `encoded` gave them.
        total: the number of bits.
        bits: of a word.

    Raises:
        ValueError: the frame is damaged, or not of these bits.
    """
    counts = counts_from(numbers, total)
    found, carried = decode_places(frame, list(counts.values()), bits)
    vectors = iter(found)
    return Spread([next(vectors) if i in counts else None for i in range(CLASSES)]), carried


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
