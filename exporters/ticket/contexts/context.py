"""A layer's contexts, and the class of each of its weights.

class = table[bits of the weight's byte, bits of the score's byte] + level of its filter + of its input
channel + of its kernel position, 0 to 255. Bits of one class are coded together, whatever layer they are of.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.models.draws import stream_key, top_bytes, top_bytes_at

Classes = NDArray[np.uint8]
Levels = NDArray[np.int8]
CLASSES = 256
BLOCK = 1 << 16  # weights at a time, so that what is computed stays in the cache


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
    table: Classes
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


def classes(context: Context, seed: int, layer: str, shape: tuple[int, ...]) -> Classes:
    """The class of each weight, in C order; (n,)."""
    filters, *rest = extents(shape)
    found = np.full(math.prod(shape), context.table[0, 0])
    if context.table.size > 1:
        keys = _keys(context, seed, layer)
        _look_up(context, [None if key is None else top_bytes(key, found.size) for key in keys], found)
    rows = found.reshape(filters, -1)
    if context.filters is not None:
        rows += context.filters.view(np.uint8)[:, None]
    if (columns := _columns(context, *rest)) is not None:
        rows += columns
    return found


def classes_at(
    context: Context, seed: int, layer: str, shape: tuple[int, ...], places: NDArray[np.intp]
) -> Classes:
    """The class of the weights at these flat indices; (n,)."""
    _, *rest = extents(shape)
    found = np.full(len(places), context.table[0, 0])
    if context.table.size > 1:
        keys = _keys(context, seed, layer)
        _look_up(context, [None if key is None else top_bytes_at(key, places) for key in keys], found)
    if context.filters is not None:
        found += context.filters.view(np.uint8)[places // math.prod(rest)]
    if (columns := _columns(context, *rest)) is not None:
        found += columns[places % math.prod(rest)]
    return found


def _keys(context: Context, seed: int, layer: str) -> list[int | None]:
    """Of the streams whose bytes count."""
    return [
        stream_key(seed, layer) if context.weight.count else None,
        stream_key(seed, layer, purpose="score") if context.score.count else None,
    ]


def _look_up(context: Context, read: list[Classes | None], found: Classes) -> None:
    """The table's entry for each pair of bytes, by a table of all pairs."""
    whole = context.table[context.weight.values()][:, context.score.values()].reshape(-1)
    for start in range(0, len(found), BLOCK):
        part = found[start : start + BLOCK]
        pairs = np.zeros((len(part), 2), np.uint8)
        for column, byte in zip((1, 0), read, strict=True):
            if byte is not None:
                pairs[:, column] = byte[start : start + BLOCK]
        whole.take(pairs.view("<u2").reshape(-1), out=part, mode="clip")


def _columns(context: Context, channels: int, positions: int) -> Classes | None:
    """Levels of input channel and kernel position together, to be added modulo 256; (columns,)."""
    if context.channels is None and context.positions is None:
        return None
    both = np.zeros((channels, positions), np.uint8)
    if context.channels is not None:
        both += context.channels.view(np.uint8)[:, None]
    if context.positions is not None:
        both += context.positions.view(np.uint8)
    return both.reshape(-1)
