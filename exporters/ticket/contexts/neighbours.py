"""What a kernel's earlier positions say of the next one.

A kernel is the weights of one filter and one input channel. Its positions are decoded one after the other,
all kernels of a layer at once. Weights beside each other tend to be kept, or not, with the same sign: so of
a weight that is to be decoded count, with the sign that the seed gives it,

    near   3 times the weights to the left and above, and those above to the left and to the right
    sum    all weights of its kernel that came before, at most 7 either way

each as its sign: 1, -1, or 0 if it is pruned.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket.contexts.context import Levels, Symbols, extents
from recycle_pipeline.exporters.ticket.loops import Loops, loops

Signs = NDArray[np.int8]
BESIDE, ASKEW = 3, 1
MOST_NEAR, MOST_SUM = 2 * BESIDE + 2 * ASKEW, 7
NEARS, SUMS = 2 * MOST_NEAR + 1, 2 * MOST_SUM + 1
MOST_POSITIONS = 64
ALONE = MOST_SUM * NEARS + MOST_NEAR  # the code where nothing came before


def extents_in_stages(shape: tuple[int, ...], staged: bool) -> tuple[int, int, int]:
    """Filters, input channels and kernel positions; which count as channels if they are not in turn."""
    filters, channels, positions = extents(shape)
    return (filters, channels, positions) if staged else (filters, channels * positions, 1)


@dataclass(frozen=True)
class ByNeighbours:
    """Levels for what came before.

    Attributes:
        near: (17,), for -8 to 8.
        sum: (15,), for -7 to 7.
    """

    near: Levels
    sum: Levels

    def table(self) -> NDArray[np.int16]:
        """By code, which is (sum + 7) * 17 + near + 8; (255,)."""
        return (self.sum.astype(np.int16)[:, None] + self.near).reshape(-1).astype(np.int16)


class Kernels:
    """The signs of a layer's kernels, as far as they are known.

    Args:
        kernels, positions: how many.
        width: of a kernel.
        room: zeros, as many as `rows` says for each kernel; taken if None.
    """

    def __init__(self, kernels: int, positions: int, width: int, room: Signs | None = None) -> None:
        rows = self.rows(positions, width)
        if room is None:
            room = np.zeros(rows * kernels, np.int8)
        *self._signs, self._sums = room.reshape(rows, kernels)
        self._width, self.compiled = width, loops()

    @staticmethod
    def rows(positions: int, width: int) -> int:
        """Of numbers, one for each kernel: of as many positions as count for the next one, and their sum."""
        return min(positions, width + 1) + 1

    def codes(self, position: int, run: slice, negative: NDArray[np.bool_], out: Symbols) -> Symbols:
        """Of a run of kernels.

        Args:
            position: the next one.
            run: of kernels.
            negative: whether the seed gives a weight that sign; (n,).
            out: where to; (n,).
        """
        x, width = position % self._width, self._width
        if (compiled := self.compiled) is not None:
            above = position >= width
            beside = (
                self._at(position - 1)[run] if x else None,
                self._at(position - width)[run] if above else None,
                self._at(position - width - 1)[run] if above and x else None,
                self._at(position - width + 1)[run] if above and x + 1 < width else None,
            )
            compiled.codes(beside, self._sums[run], negative, out)
            return out
        near = np.zeros(len(negative), np.int8)
        if x:
            near += self._at(position - 1)[run]
        if position >= width:
            near += self._at(position - width)[run]
        near *= BESIDE
        if position >= width and x:
            near += self._at(position - width - 1)[run]
        if position >= width and x + 1 < width:
            near += self._at(position - width + 1)[run]
        code = self._sums[run].clip(-MOST_SUM, MOST_SUM)
        code *= NEARS
        code += near
        own = negative.view(np.int8) * np.int8(-2)
        own += np.int8(1)
        code *= own
        return np.add(code.view(np.uint8), np.uint8(ALONE), out=out)

    def settle_by_seed(
        self,
        compiled: Loops,
        position: int,
        kept: NDArray[np.intp],
        negative: NDArray[np.bool_],
        moved: tuple[NDArray[np.bool_] | None, bool],
    ) -> None:
        """`settle`, by the signs that the seed gives and by which kept weights moved; see `Loops.settle`."""
        own = self._at(position)
        own[:] = 0
        compiled.settle(np.ascontiguousarray(kept), negative, moved, own, self._sums)

    def settle(self, position: int, kept: NDArray[np.intp], signs: Signs) -> None:
        """Takes the signs of the kept weights of a position."""
        own = self._at(position)
        own[:] = 0
        own[kept] = signs
        self._sums[kept] += signs

    def _at(self, position: int) -> Signs:
        return self._signs[position % len(self._signs)]
