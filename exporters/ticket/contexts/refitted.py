"""Choosing levels in finer steps, those of neighbours among them, from what the coarser ones leave.

`fitted` knows nothing of neighbours. Here the bits of a layer are counted by the class that they have so far:
first by their neighbours' code as well, which gives levels for that; then what classes foretell is compared
with the bits of each filter, channel, position and entry of the table, which moves those. Newton's method all
of it. Only the chosen integers count for reading.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket.contexts.context import Context, Levels
from recycle_pipeline.exporters.ticket.contexts.fitted import EVEN as COARSE_EVEN
from recycle_pipeline.exporters.ticket.contexts.fitted import STEP, cheapest_levels
from recycle_pipeline.exporters.ticket.contexts.neighbours import ALONE, NEARS, SUMS, ByNeighbours
from recycle_pipeline.exporters.ticket.contexts.staged import EVEN, STAGED_CLASSES, ZERO, Run, StagedContext
from recycle_pipeline.exporters.ticket.loops import Loops, loops
from recycle_pipeline.models.subnetwork import places_of

Floats = NDArray[np.float64]
FINER = 4  # steps of a sum to one of a class
FINE = STEP / FINER  # log-odds
CODES = NEARS * SUMS
ENOUGH_BITS, ENOUGH_OF_A_CELL = 8192, 512  # of a run: for a table, for each of its entries
ROUNDS, RIDGE, LONGEST = 24, 2.0, 1.0  # ridge in bits at even odds, of weight; longest step, in log-odds
WORTH = 150.0  # bits that levels of neighbours cost, about
GRID = 2  # levels of filters and channels are multiples of it: they are many
OFTEN = 0.3  # of levels, that one of them is taken as 0
REACH = 120  # the largest level
STEPS = np.arange(-16, 17)  # how far what is not many may go
ODDS = (np.arange(STAGED_CLASSES) - EVEN + 0.375) * STEP  # the middle of a class
CHANCE = 1 / (1 + np.exp(-ODDS))
CHANCES, CURVES = CHANCE.astype(np.float32), (CHANCE * (1 - CHANCE)).astype(np.float32)


def in_fine_steps(context: Context) -> Context:
    """The same context, for sums."""
    table = np.clip((context.table.astype(np.int64) - COARSE_EVEN) * FINER + ZERO, 0, 255)
    levels = (None if each is None else _levels(each.astype(np.int64) * FINER) for each in context.levels)
    return Context(context.weight, context.score, table.astype(np.uint8), *levels)


class ByCode:
    """Bits by class and neighbours' code."""

    def __init__(self) -> None:
        self._counts = np.zeros((2, STAGED_CLASSES, CODES), np.uint32)
        self._compiled = loops()

    def add(self, run: Run, bits: NDArray[np.bool_]) -> None:
        if self._compiled is not None:
            self._compiled.count_codes(
                run.classes, run.codes, ALONE, np.ascontiguousarray(bits), self._counts
            )
            return
        both = run.classes.astype(np.intp) * CODES + (ALONE if run.codes is None else run.codes)
        for counts, which in zip(self._counts, (both, both[bits]), strict=True):
            counts += np.bincount(which, minlength=counts.size).reshape(counts.shape).astype(np.uint32)

    def neighbours(self) -> ByNeighbours | None:
        """Levels for what came before; None where they gain nothing."""
        some, met = (self._counts[0].any(axis) for axis in (1, 0))
        total, set_ = self._counts[:, some][:, :, met].astype(np.float64)
        base = ODDS[some, None]
        sums, nears = np.divmod(np.flatnonzero(met), NEARS)
        terms = [(np.zeros(NEARS), nears), (np.zeros(SUMS), sums)]
        for _ in range(ROUNDS):
            longest = 0.0
            for levels, index in terms:
                p = 1 / (1 + np.exp(-(base + terms[0][0][nears] + terms[1][0][sums])))
                slope = np.bincount(index, (set_ - total * p).sum(0), len(levels))
                curve = np.bincount(index, (total * p * (1 - p)).sum(0), len(levels))
                step = np.clip((slope - RIDGE * levels / 4) / (curve + RIDGE), -LONGEST, LONGEST)
                levels += step
                longest = max(longest, float(np.abs(step).max()))
            if longest < FINE / 4:
                break
        near, sum_ = (_levels(np.rint(levels / FINE)) for levels, _ in terms)
        gained = _cost(base, total, set_) - _cost(base + (near[nears] + sum_[sums]) * FINE, total, set_)
        return ByNeighbours(near, sum_) if gained > WORTH else None


@dataclass
class _Left:
    """By index: set bits, those that classes foretell, and the sums of p (1 - p)."""

    set_: Floats
    foretold: Floats
    curve: Floats

    def bits(self, steps: NDArray[np.int64]) -> Floats:
        """What bits take if their odds are moved by so many fine steps, but for what all have in common.

        As if those of an index were all as likely: as many, and as likely, as give the same sums.

        Args:
            steps: (n, choices).
        """
        p, count = self._alike()
        moved = np.log1p(p[:, None] * np.expm1(steps * FINE))
        found: Floats = (count[:, None] * moved - self.set_[:, None] * (steps * FINE)) / np.log(2)
        return found

    def moved(self, odds: float) -> "_Left":
        """The same with odds that are moved."""
        p, count = self._alike()
        foretold = count * p * np.exp(odds) / (1 + p * np.expm1(odds))
        return _Left(self.set_, foretold, foretold * (1 - foretold / count))

    def _alike(self) -> tuple[Floats, Floats]:
        p = np.clip(1 - self.curve / np.maximum(self.foretold, 1e-9), 1e-9, 1 - 1e-9)
        return p, np.maximum(self.foretold, 1e-9) / p


class Residuals:
    """What classes leave of the bits of each filter, channel, position and entry of the table.

    Args:
        context: whose classes they are.
        filters, channels, positions: how many.
    """

    def __init__(self, context: StagedContext, filters: int, channels: int, positions: int) -> None:
        self._context, self._channels, self._compiled = context, channels, loops()
        sides = filters, channels, positions, context.plain.table.size
        self._left = [_Left(*np.zeros((3, side))) for side in sides]

    def add(self, run: Run, bits: NDArray[np.bool_], position: int, kernels: NDArray[np.intp] | None) -> None:
        """Takes a run of one position.

        Args:
            run: of it.
            bits: of it.
            position: which.
            kernels: which ones they are; None if they are those from `run.kernels` on.
        """
        if self._compiled is not None and kernels is None:
            self._add_rows(self._compiled, run, bits, position)
            self._add_cells(run, bits)
            return
        for name, rest in (("foretold", CHANCES.take(run.classes)), ("curve", CURVES.take(run.classes))):
            filters, channels, positions, _ = (getattr(left, name) for left in self._left)
            positions[position] += rest.sum()
            if kernels is None:
                row, skipped = divmod(run.kernels.start, self._channels)
                rows = rest.reshape(-1, min(self._channels, len(rest)))
                filters[row : row + len(rows)] += rows.sum(1)
                channels[skipped : skipped + rows.shape[1]] += rows.sum(0)
        own = places_of(bits) + run.kernels.start if kernels is None else kernels.compress(bits)
        filters, channels = np.divmod(own, self._channels)
        for left, index in zip(self._left, (filters, channels), strict=False):
            left.set_ += np.bincount(index, minlength=len(left.set_))
        self._left[2].set_[position] += len(own)
        self._add_cells(run, bits)

    def _add_rows(self, compiled: Loops, run: Run, bits: NDArray[np.bool_], position: int) -> None:
        row, skipped = divmod(run.kernels.start, self._channels)
        columns = min(self._channels, len(bits))
        shape = len(bits) // columns, columns
        found = compiled.foretell(run.classes, np.ascontiguousarray(bits), (CHANCES, CURVES), shape)
        places = slice(row, row + shape[0]), slice(skipped, skipped + columns)
        for left, place, (foretold, curve, set_) in zip(self._left, places, found, strict=False):
            left.foretold[place] += foretold
            left.curve[place] += curve
            left.set_[place] += set_
        left = self._left[2]
        for sums, of_filters in zip((left.foretold, left.curve, left.set_), found[0], strict=True):
            sums[position] += of_filters.sum()

    def _add_cells(self, run: Run, bits: NDArray[np.bool_]) -> None:
        """Of a part of the run, if the table's entries are few."""
        enough = max(ENOUGH_BITS, ENOUGH_OF_A_CELL * self._left[3].set_.size)
        step = max(1, len(bits) // enough) | 1  # odd, so that no channel is left out
        number = self._left[3].set_.size
        if (compiled := self._compiled) is not None:
            entries = None if isinstance(run.cells, int) else run.cells.astype(np.uint16, copy=False)
            own = np.ascontiguousarray(bits)
            by_class, set_ = compiled.by_cell(run.classes, entries, own, step, (number, STAGED_CLASSES))
        else:
            cells, classes = np.broadcast_to(run.cells, len(bits))[::step], run.classes[::step]
            both = np.bincount(cells * STAGED_CLASSES + classes, minlength=number * STAGED_CLASSES)
            by_class = both.reshape(-1, STAGED_CLASSES)
            set_ = np.bincount(cells.compress(bits[::step]), minlength=number)
        self._left[3].foretold += step * (by_class @ CHANCE)
        self._left[3].curve += step * (by_class @ (CHANCE * (1 - CHANCE)))
        self._left[3].set_ += step * set_

    def refitted(self, levels: bool) -> StagedContext:
        """The context with other levels, as near to what is best as they are worth.

        Args:
            levels: whether filters and channels have any.
        """
        plain = self._context.plain
        table = plain.table.reshape(-1).astype(np.int64) - ZERO
        cells = np.clip(_best(self._left[3], table, STEPS) + ZERO, 0, 255).astype(np.uint8)
        found = [
            (_grid_levels(left, before) if levels else None) if i < 2 else _fine_levels(left, before)
            for i, (left, before) in enumerate(zip(self._centred(), plain.levels, strict=True))
        ]
        cells = cells.reshape(plain.table.shape)
        return replace(self._context, plain=_around_zero(Context(plain.weight, plain.score, cells, *found)))

    def _centred(self) -> Sequence[_Left]:
        """Without what all have in common, which the table takes."""
        cells = self._left[3]
        common = (cells.set_ - cells.foretold).sum() / (cells.curve.sum() + RIDGE)
        return [left.moved(float(np.clip(common, -1, 1))) for left in self._left[:3]]


def _around_zero(context: Context) -> Context:
    """The same sums with levels of which most are 0: what is common to all of a kind goes to the table.

    All levels of a ticket are coded together, so they should be alike.
    """
    table, rows = context.table.astype(np.int64), list(context.levels)
    for i, row in enumerate(rows):
        if row is None:
            continue
        values, counts = np.unique(row.astype(np.int64), return_counts=True)
        common = values[counts.argmax()]
        if counts.max() < OFTEN * len(row):
            continue
        moved = row.astype(np.int64) - common
        if np.abs(moved).max() <= REACH and (table + common).min() >= 0 and (table + common).max() <= 255:
            table += common
            rows[i] = moved.astype(np.int8) if moved.any() else None
    return Context(context.weight, context.score, table.astype(np.uint8), *rows)


def _best(left: _Left, before: NDArray[np.int64], steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Levels that take fewest bits, of those so many steps away."""
    every = np.broadcast_to(steps, (len(before), len(steps)))
    found: NDArray[np.int64] = before + steps[(left.bits(every) + RIDGE * (every * FINE) ** 2 / 2).argmin(1)]
    return found


def _grid_levels(left: _Left, before: Levels | None) -> Levels | None:
    if len(left.set_) < 2:
        return None
    choices = np.arange(-REACH, REACH // 2, GRID)
    start = np.zeros((len(left.set_), 1), np.int64) if before is None else before[:, None].astype(np.int64)
    return cheapest_levels(left.bits(choices - start), choices, FINER)


def _fine_levels(left: _Left, before: Levels | None) -> Levels | None:
    start = np.zeros(len(left.set_), np.int64) if before is None else before.astype(np.int64)
    found = _levels(_best(left, start, STEPS))
    return found if len(found) > 1 and found.any() else None


def _levels(numbers: NDArray[np.int64] | Floats) -> Levels:
    return np.clip(numbers, -REACH, REACH).astype(np.int8)


def _cost(odds: NDArray[Any], total: Floats, set_: Floats) -> float:
    """Bits that these bits take at these odds."""
    return float((total * np.logaddexp(0, odds) - set_ * odds).sum() / np.log(2))
