"""Where moved weights of continuous subnetworks come from: draw numbers and source positions.

A weight moved if its value is not number i of draw 0, i being its own place. Of those, some come from
elsewhere in the layer (a source other than i), the rest were drawn again in place (a draw other than 0).

    elsewhere   a bit per moved weight
    numbers     of the draws: first those in place, then those from elsewhere, each by how often it came up
    sources     of those from elsewhere: the cell of the layer, one of 256 or fewer, by how often sources
                were in it; then the place within the cell, in digits that are equally likely
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket.coding.tables import SYMBOLS, Frequencies, of_counts, uniform
from recycle_pipeline.exporters.ticket.fields import entries, integer
from recycle_pipeline.exporters.ticket.tallied import Symbols

MAX_DRAW = (1 << 15) - 1
Draws = NDArray[np.int16]
Sources = NDArray[np.int32]


def encoded_numbers(numbers: NDArray[np.integer]) -> tuple[list[int], list[tuple[Symbols, Frequencies]]]:
    """[number, times, next number, times, ...] for the header, and segments of a frame.

    A number's rank among those that come up is coded: if they are more than 256, first the high bytes of
    all ranks, then low bytes, of one high byte after the other.
    """
    distinct, ranks, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    times, high = counts.tolist(), (ranks >> 8).astype(np.uint8)
    segments = [(high, _high_table(times))] if len(times) > SYMBOLS else []
    for i in range(0, len(times), SYMBOLS):
        low = (ranks[high == i >> 8] & 255).astype(np.uint8)
        segments.append((low, of_counts(times[i : i + SYMBOLS])))
    return np.stack([distinct, counts], 1).reshape(-1).tolist(), segments


class Numbers:
    """What the header says of `total` numbers, and how to decode them.

    Raises:
        ValueError: it cannot be.
    """

    def __init__(self, told: Any, total: int) -> None:
        flat = entries(told, 0, 2 * (MAX_DRAW + 1))
        if len(flat) % 2:
            raise ValueError(f"{len(flat)} are no numbers with their times")
        self.distinct: list[int] = []
        for number in flat[::2]:
            self.distinct.append(integer(number, self.distinct[-1] + 1 if self.distinct else 0, MAX_DRAW))
        self.times = [integer(times, 1, total) for times in flat[1::2]]
        if sum(self.times) != total:
            raise ValueError(f"{sum(self.times)} draw numbers for {total} weights")
        blocks = [self.times[i : i + SYMBOLS] for i in range(0, len(self.times), SYMBOLS)]
        self.segments: list[tuple[int, Frequencies]] = [(sum(block), of_counts(block)) for block in blocks]
        if len(blocks) > 1:
            self.segments.insert(0, (total, _high_table(self.times)))

    def decoded(self, symbols: Iterator[Symbols]) -> Draws:
        """The numbers. Raises ValueError if they are not as often as the header says."""
        blocks = -(-len(self.times) // SYMBOLS)
        ranks = np.zeros(sum(self.times), np.int64)
        if blocks > 1:
            ranks += next(symbols).astype(np.int64) << 8
        for block in range(blocks):
            here = np.flatnonzero(ranks >> 8 == block)
            low = next(symbols)
            if len(low) != len(here):
                raise ValueError("draw numbers are not as often as the header says")
            ranks[here] += low
        if not np.array_equal(np.bincount(ranks, minlength=len(self.times)), self.times):
            raise ValueError("draw numbers are not as often as the header says")
        return np.array(self.distinct, np.int16)[ranks]


def _high_table(times: Sequence[int]) -> Frequencies:
    return of_counts([sum(times[i : i + SYMBOLS]) for i in range(0, len(times), SYMBOLS)])


def cells_of(sources: Sources, size: int) -> Symbols:
    """In which cell of a layer of `size` weights each source is; (n,)."""
    return (sources // _width(size)).astype(np.uint8)


def digits_of(sources: Sources, size: int) -> list[tuple[Symbols, Frequencies]]:
    """Their places within the cells, as segments of a frame."""
    rest, segments = sources % _width(size), []
    for radix in radices(size):
        segments.append(((rest % radix).astype(np.uint8), uniform(radix)))
        rest = rest // radix
    return segments


def radices(size: int) -> list[int]:
    """Of the digits of a place within a cell, the lowest first; each at most 256."""
    width, count = _width(size), 0
    while SYMBOLS**count < width:
        count += 1
    if count == 0:
        return []
    base = next(b for b in range(1, SYMBOLS + 1) if b**count >= width)
    return [base] * (count - 1) + [-(-width // base ** (count - 1))]


def sources_from(cells: Symbols, digits: Sequence[Symbols], size: int) -> Sources:
    """The inverse of `cells_of` and `digits_of`. Raises ValueError if a source is beyond the layer."""
    places, factor = np.zeros(len(cells), np.int64), 1
    for digit, radix in zip(digits, radices(size), strict=True):
        places += digit.astype(np.int64) * factor
        factor *= radix
    found = cells.astype(np.int64) * _width(size) + places
    if (places >= _width(size)).any() or (found >= size).any():
        raise ValueError("a source is beyond its layer")
    return found.astype(np.int32)


def _width(size: int) -> int:
    return -(-size // SYMBOLS)
