"""Bits of many layers as one frame: sorted by class, each class with the odds that its counts give."""

from collections.abc import Iterable, Sequence
from typing import Any

from recycle_pipeline.exporters.ticket.coding.streams import Counts, counts_of, decode_bits, encode_bits
from recycle_pipeline.exporters.ticket.contexts.context import CLASSES
from recycle_pipeline.exporters.ticket.contexts.grouped import Bits, Of, gathered, spread
from recycle_pipeline.exporters.ticket.fields import entries, integer


def encoded(layers: Iterable[tuple[Of, Bits]]) -> tuple[bytes, list[int]]:
    """The frame, and for the header [class, its bits, those set, symbols of its gaps] where any is set.

    Args:
        layers: the classes of bits, and the bits; (n,).
    """
    vectors = gathered(layers)
    counts = counts_of(vectors)
    numbers = [[i, each.size, each.kept, each.gaps] for i, each in enumerate(counts) if each.kept]
    return encode_bits(vectors), [number for four in numbers for number in four]


def decoded(frame: bytes, numbers: Any, layers: Sequence[Of]) -> list[Bits]:
    """The inverse; memory is bounded by the numbers of bits, whatever the frame holds.

    Args:
        frame, numbers: as `encoded` gave them.
        layers: the classes of bits.

    Raises:
        ValueError: the frame is damaged, or not of these bits.
    """
    counts = counts_from(numbers, sum(of.count for of in layers))
    vectors = iter(decode_bits(frame, list(counts.values())))
    return spread([next(vectors) if i in counts else None for i in range(CLASSES)], layers)


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
