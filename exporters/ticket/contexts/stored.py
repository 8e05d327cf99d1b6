"""Contexts as numbers of the header and as two rows of symbols.

A context's numbers are [first, count of the weight's bits, first, count of the score's bits, levels], where
levels adds 1 for filters, 2 for channels and 4 for positions. A table's entries are stored as differences,
modulo 256: along each row; the first of a row from the first of the row above; that of the first row from
the first of the table before, which for the first table is 128. Differences and levels are folded: 0, -1,
1, -2, 2 become 0, 1, 2, 3, 4. In version 4 `levels` adds 8 for neighbours, whose levels, of `near` and of
`sum`, come after the others of their context.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket.contexts.context import CLASSES, Axis, Context, extents
from recycle_pipeline.exporters.ticket.contexts.neighbours import (
    MOST_POSITIONS,
    NEARS,
    SUMS,
    ByNeighbours,
    extents_in_stages,
)
from recycle_pipeline.exporters.ticket.contexts.staged import StagedContext
from recycle_pipeline.exporters.ticket.fields import entries, integer

Symbols = NDArray[np.uint8]
MAX_BITS = 7  # of an axis
BASE = 128
NEIGHBOURS = 8  # of `levels`


def numbers_of(staged: StagedContext) -> list[int]:
    """For the header."""
    context = staged.plain
    flags = sum(1 << i for i, levels in enumerate(context.levels) if levels is not None)
    flags += NEIGHBOURS * (staged.neighbours is not None)
    weight, score = context.weight, context.score
    return [weight.first, weight.count, score.first, score.count, flags]


def symbols_of(contexts: Sequence[StagedContext]) -> tuple[Symbols, Symbols]:
    """Of all tables, and of all levels."""
    tables, levels, before = [], [], np.uint8(BASE)
    for staged in contexts:
        context = staged.plain
        table = context.table.copy()
        table[:, 1:] -= context.table[:, :-1]
        table[1:, 0] -= context.table[:-1, 0]
        table[0, 0:1] -= before
        before = context.table[0, 0]
        tables.append(table.reshape(-1))
        levels += [each.view(np.uint8) for each in context.levels if each is not None]
        if staged.neighbours is not None:
            levels += [staged.neighbours.near.view(np.uint8), staged.neighbours.sum.view(np.uint8)]
    return _folded(tables), _folded(levels)


class Numbers:
    """A context's numbers, checked, for a weight of this shape.

    Args:
        numbers: five of them.
        shape: of the weight.
        staged: whether they are of version 4.
        of_mask: of the layer's mask in version 4, if these are of what moved.

    Raises:
        ValueError: they are none.
    """

    def __init__(
        self, numbers: Any, shape: tuple[int, ...], staged: bool, of_mask: "Numbers | None" = None
    ) -> None:
        first, count, score_first, score_count, flags = entries(numbers, 5, 5)
        weight = Axis(integer(first, 0, 7), integer(count, 0, MAX_BITS))
        self.axes = weight, Axis(integer(score_first, 0, 7), integer(score_count, 0, MAX_BITS))
        if any(axis.first + axis.count > 8 for axis in self.axes):
            raise ValueError(f"{numbers!r} are more bits than a byte has")
        self.staged = staged
        self.cells = 1 << self.axes[0].count + self.axes[1].count
        integer(flags, 0, 2 * NEIGHBOURS - 1 if staged else NEIGHBOURS - 1)
        neighbours = bool(flags & NEIGHBOURS)
        self.in_turn: bool = neighbours if of_mask is None else of_mask.in_turn
        sides = extents_in_stages(shape, self.in_turn) if staged else extents(shape)
        if (self.in_turn and not 2 <= sides[2] <= MOST_POSITIONS) or (neighbours and not self.in_turn):
            raise ValueError(f"{numbers!r} are of neighbours, which a weight of shape {shape} has not")
        self.levels = [n if flags >> i & 1 else 0 for i, n in enumerate(sides)]
        self.levels += [NEARS, SUMS] if neighbours else []
        self.positions = sides[2] if self.in_turn else 1


def contexts_of(numbers: Sequence[Numbers], tables: Symbols, levels: Symbols) -> list[StagedContext]:
    """The inverse of `symbols_of`.

    Raises:
        ValueError: a sum may leave 0 to 255.
    """
    differences, steps = _unfolded(tables), _unfolded(levels).view(np.int8)
    found: list[StagedContext] = []
    before, cell, level = np.uint8(BASE), 0, 0
    for each in numbers:
        table = differences[cell : cell + each.cells].reshape(1 << each.axes[0].count, -1).copy()
        cell += each.cells
        table[0, 0:1] += before
        table[:, 0] = np.cumsum(table[:, 0], dtype=np.uint8)
        table = np.cumsum(table, axis=1, dtype=np.uint8)
        before = table[0, 0]
        own: list[Any] = []
        for count in each.levels:
            own.append(steps[level : level + count].copy() if count else None)
            level += count
        found.append(
            StagedContext(Context(*each.axes, table, *own[:3]), ByNeighbours(*own[3:]) if own[3:] else None)
        )
        low, high = found[-1].plain.range()
        if not each.staged and (low < 0 or high >= CLASSES):
            raise ValueError(f"classes from {low} to {high}")
    return found


def _folded(rows: Sequence[Symbols]) -> Symbols:
    row = np.concatenate([np.zeros(0, np.uint8), *rows])
    return (row << np.uint8(1)) ^ (np.uint8(0) - (row >> np.uint8(7)))


def _unfolded(row: Symbols) -> Symbols:
    return (row >> np.uint8(1)) ^ (np.uint8(0) - (row & np.uint8(1)))
