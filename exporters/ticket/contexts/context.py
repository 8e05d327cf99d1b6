"""A layer's contexts, and the class of each of its weights.

class = table[bits of the weight's byte, bits of the score's byte] + level of its filter + of its input
channel + of its kernel position, 0 to 255. Bits of one class are coded together, whatever layer they are of.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.models.draws import high_bits, high_bits_at, stream_key

Symbols = NDArray[np.uint8]
Levels = NDArray[np.int8]
Words = NDArray[np.uint64]
CLASSES = 256
RUN = 1 << 16  # weights at a time
BYTE = np.uint64(56)  # from the highest byte of a word down to the lowest


@dataclass(frozen=True)
class Axis:
    """Bits of a byte: `count` of them from number `first` on, the highest being number 0."""

    first: int = 0
    count: int = 0

    def values(self) -> NDArray[np.intp]:
        """Of each of the 256 bytes."""
        return (np.arange(CLASSES) << self.first & 0xFF) >> 8 - self.count


@dataclass(frozen=True)
class Context:
    """Of a layer.

    Attributes:
        weight, score: which bits count of the highest byte of the first draw, and of the first score.
        table: (2**weight.count, 2**score.count), a class each.
        filters, channels, positions: levels, as many as `extents` says; None where all are 0.
    """

    weight: Axis
    score: Axis
    table: Symbols
    filters: Levels | None = None
    channels: Levels | None = None
    positions: Levels | None = None

    @property
    def levels(self) -> tuple[Levels | None, Levels | None, Levels | None]:
        return self.filters, self.channels, self.positions

    @property
    def constant(self) -> bool:
        """Whether all weights are of one class."""
        return self.table.size == 1 and all(level is None for level in self.levels)

    def range(self) -> tuple[int, int]:
        """The least and the greatest sum that may come up."""
        terms = [self.table, *(level for level in self.levels if level is not None)]
        return sum(int(term.min()) for term in terms), sum(int(term.max()) for term in terms)


def extents(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Filters, input channels and kernel positions of a weight."""
    return shape[0], math.prod(shape[1:2]), math.prod(shape[2:])


class Classes:
    """The classes of a layer's weights, a run of them at a time."""

    def __init__(self, context: Context, seed: int, layer: str, shape: tuple[int, ...]) -> None:
        _, *rest = extents(shape)
        self.size, self._row = math.prod(shape), math.prod(rest)
        self.constant = int(context.table[0, 0]) if context.constant else None
        self._keys = (
            stream_key(seed, layer) if context.weight.count else None,
            stream_key(seed, layer, purpose="score") if context.score.count else None,
        )
        self._context = context
        self._filters = None if context.filters is None else context.filters.view(np.uint8)
        self._columns = _columns(context, *rest)

    def runs(self) -> Iterator[tuple[slice, Symbols]]:
        """The classes of all weights, in C order; (n,) each."""
        buffers, pairs = np.empty((3, min(RUN, self.size)), np.uint64), self._pairs()
        # As often as a run needs them, wherever in a row it begins.
        columns = None if self._columns is None else np.tile(self._columns, 1 + -(-RUN // self._row))
        for start in range(0, self.size, RUN):
            run = slice(start, min(start + RUN, self.size))
            weight, score, scratch = buffers[:, : run.stop - start]
            for key, words in zip(self._keys, (weight, score), strict=True):
                if key is not None:
                    high_bits(key, start, words, scratch)
            found = self._looked_up(pairs, weight, score)
            self._add_levels(found, start, columns)
            yield run, found

    def at(self, places: NDArray[np.intp]) -> Iterator[tuple[slice, Symbols]]:
        """The same of the weights at these flat indices, which ascend."""
        pairs = self._pairs()
        for start in range(0, len(places), RUN):
            part = places[start : start + RUN]
            none = np.zeros(len(part), np.uint64)
            words = (none if key is None else high_bits_at(key, part) for key in self._keys)
            found = self._looked_up(pairs, *words)
            if self._filters is not None or self._columns is not None:
                self._add_levels_at(found, part)
            yield slice(start, start + len(part)), found

    def _add_levels_at(self, found: Symbols, places: NDArray[np.intp]) -> None:
        """The same of a run of weights at ascending places."""
        filters = np.arange(places[0] // self._row, places[-1] // self._row + 1)
        counts = np.diff(places.searchsorted(filters * self._row), append=len(places))
        if self._filters is not None:
            found += self._filters[filters].repeat(counts)
        if self._columns is not None:
            found += self._columns.take(places - (filters * self._row).repeat(counts))

    def _add_levels(self, found: Symbols, start: int, columns: Symbols | None) -> None:
        """To the classes of a run of weights that begins at `start`."""
        first, skipped = divmod(start, self._row)
        if self._filters is not None:
            levels = self._filters[first : -(-(start + len(found)) // self._row)]
            if self._row <= len(found):
                found += levels.repeat(self._row)[skipped : skipped + len(found)]
            else:
                found[: self._row - skipped] += levels[0]
                found[self._row - skipped :] += levels[-1]
        if columns is not None:
            found += columns[skipped : skipped + len(found)]

    def _pairs(self) -> Symbols:
        """The table's entry for each pair of highest bytes: not kept, for there may be many layers."""
        context = self._context
        return context.table[context.weight.values()][:, context.score.values()].reshape(-1)

    def _looked_up(self, pairs: Symbols, weight: Words, score: Words) -> Symbols:
        """The table's entries; what the words hold is lost."""
        of_weight, of_score = self._keys
        if of_weight is None and of_score is None:
            return np.full(len(weight), pairs[0])
        score >>= BYTE
        if of_weight is None:
            weight = score
        else:
            weight >>= BYTE
            weight <<= np.uint64(8)
            if of_score is not None:
                weight |= score
        found: Symbols = pairs.take(weight.view(np.int64), mode="clip")
        return found


def _columns(context: Context, channels: int, positions: int) -> Symbols | None:
    """Levels of input channel and kernel position together, to be added modulo 256; (columns,)."""
    if context.channels is None and context.positions is None:
        return None
    both = np.zeros((channels, positions), np.uint8)
    if context.channels is not None:
        both += context.channels.view(np.uint8)[:, None]
    if context.positions is not None:
        both += context.positions.view(np.uint8)
    return both.reshape(-1)
