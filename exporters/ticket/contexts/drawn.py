"""What the seed says of weights: where in a context's table they are, and their sign."""

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket.contexts.context import RUN, Axis, Context, Words
from recycle_pipeline.exporters.ticket.loops import loops
from recycle_pipeline.models.draws import high_bits, high_bits_at

Places = NDArray[np.intp]
Bits = NDArray[np.bool_]
Cells = NDArray[np.int64] | NDArray[np.uint16] | int
NO_WORDS = np.zeros(0, np.uint64)
SIGN = Axis(0, 1)


class Drawn:
    """Of a layer's weights, which lie kernel after kernel.

    Args:
        context: whose table it is.
        keys: of the streams of weights and of scores.
        positions: of a kernel.
    """

    def __init__(self, context: Context, keys: tuple[int, int], positions: int) -> None:
        self._context, self._keys, self._positions = context, keys, positions
        self._buffers, self._compiled = np.empty((3, 0), np.uint64), loops()

    def run(self, first: int, position: int, count: int, negative: Bits | None) -> Cells:
        """Of so many kernels, at most `RUN`, from the first on.

        Args:
            first, position, count: which weights.
            negative: takes whether the seed gives them that sign; (count,), None if nobody asks.
        """
        weight, score = self._context.weight, self._context.score
        if (compiled := self._compiled) is not None:
            if not (weight.count or score.count) and negative is None:
                return 0
            where = first * self._positions + position, self._positions, None
            cells = compiled.cells(*self._streams(), where, count, negative)
            return cells if weight.count or score.count else 0
        if count > self._buffers.shape[1]:
            self._buffers = np.empty((3, min(RUN, count)), np.uint64)
        of_weight, of_score, scratch = self._buffers[:, :count]
        index = first * self._positions + position
        if negative is not None or weight.count:
            high_bits(self._keys[0], index, of_weight, scratch, self._positions)
        if score.count:
            high_bits(self._keys[1], index, of_score, scratch, self._positions)
        if negative is not None:
            np.less(of_weight.view(np.int64), 0, out=negative)
        return cells_of(self._context, of_weight, of_score)

    def at(self, kernels: Places, position: int, negative: Bits | None) -> Cells:
        """Of these kernels.

        Args:
            kernels: ascending.
            position: of a kernel.
            negative: the signs that the seed gives them, if they are known.
        """
        weight, score = self._context.weight, self._context.score
        if not (weight.count or score.count):
            return 0
        if (compiled := self._compiled) is not None:
            where = position, self._positions, np.ascontiguousarray(kernels)
            return compiled.cells(*self._streams(), where, len(kernels), None)
        own = kernels * self._positions + position if self._positions > 1 else kernels
        of_score = high_bits_at(self._keys[1], own) if score.count else NO_WORDS
        if weight == SIGN and negative is not None:
            of_weight = negative.astype(np.uint64)
            of_weight <<= np.uint64(63)
        else:
            of_weight = high_bits_at(self._keys[0], own) if weight.count else NO_WORDS
        return cells_of(self._context, of_weight, of_score)

    def _streams(self) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        weight, score = self._context.weight, self._context.score
        return (self._keys[0], weight.first, weight.count), (self._keys[1], score.first, score.count)


def cells_of(context: Context, weight: Words, score: Words) -> Cells:
    """Where in the table each weight is; what the words hold is lost."""
    index: Words | None = None
    for axis, words in ((context.weight, weight), (context.score, score)):
        if not axis.count:
            continue
        if axis.first:
            words <<= np.uint64(axis.first)
        words >>= np.uint64(64 - axis.count)
        if index is not None:
            index <<= np.uint64(axis.count)
            words |= index
        index = words
    return 0 if index is None else index.view(np.int64)
