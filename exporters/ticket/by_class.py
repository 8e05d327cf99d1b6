"""Bits of many layers as one frame: sorted by class, each class with the odds that its counts give."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket.coding.streams import Counts, counts_of, decode_bits, encode_bits
from recycle_pipeline.exporters.ticket.contexts.context import CLASSES
from recycle_pipeline.exporters.ticket.contexts.grouped import Bits, Of, Spread, gathered, sizes_of
from recycle_pipeline.exporters.ticket.fields import entries, integer


def encoded(layers: Sequence[tuple[Of, Bits]]) -> tuple[bytes, list[int]]:
    """The frame, and for the header [class, bits set, symbols of its gaps] of every class with a set bit.

    Args:
        layers: the class of each bit (or of all), and the bits; both (n,).
    """
    vectors = gathered(layers)
    counts = counts_of(vectors)
    numbers = [[i, each.kept, each.gaps] for i, each in enumerate(counts) if each.kept]
    return encode_bits(vectors), [number for three in numbers for number in three]


def decoded(frame: bytes, numbers: Any, layers: Sequence[tuple[Of, int]]) -> list[Bits]:
    """The inverse; memory is bounded by the numbers of bits, whatever the frame holds.

    Args:
        frame, numbers: as `encoded` gave them.
        layers: the class of each bit (or of all), and the number of bits.

    Raises:
        ValueError: the frame is damaged, or not of these bits.
    """
    sizes: NDArray[np.intp] = np.zeros(CLASSES, np.intp)
    for classes, count in layers:
        sizes += sizes_of(classes, count)
    spread = Spread(decode_bits(frame, _counts(numbers, sizes.tolist())))
    return [spread.next(classes, count) for classes, count in layers]


def _counts(numbers: Any, sizes: list[int]) -> list[Counts]:
    found, before = [Counts(size, 0) for size in sizes], -1
    flat = entries(numbers, 0, 3 * CLASSES)
    if len(flat) % 3:
        raise ValueError(f"{len(flat)} numbers are no classes of three")
    for number, kept, gaps in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
        size = sizes[integer(number, before + 1, CLASSES - 1)]
        found[number] = Counts(size, integer(kept, 1, size), integer(gaps, 0, size))
        before = number
    return found
