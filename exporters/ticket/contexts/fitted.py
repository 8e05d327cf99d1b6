"""Choosing contexts when a ticket is written: additive log-odds, fitted to counts.

The log-odds of a bit are those of its class. What a choice costs is the bits that its layer takes, were they
as likely as their classes say, plus the choice's own bits. The sums run over counts alone: how many bits were
set for each pair of bytes, filter, channel and position. That is exact where these are independent of each
other, as they are for a mask: every filter meets every channel, and the seed's bytes are random.

None of this is needed for reading, where only the chosen integers count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket.contexts.context import CLASSES, Axis, Context, Levels

Floats = NDArray[np.float64]
STEP, EVEN = 0.45, 128  # log-odds between classes; the class of even odds
TABLE_LOW, TABLE_HIGH = 80, 176
# Sums of table and levels stay in 0 to 255.
RANGES = ((-40, 24), (-32, 24), (-8, 8))
CELL_BITS = 2.0  # what an entry of a table has to gain: its own bits, and those it only seems to save
TURN, CLIMB, REACH = 0.3, 3.0, 3  # bits of an entry like the one before; per level of difference; at most
WEIGHTS = (Axis(), *(Axis(1, n) for n in (2, 3, 4, 5, 6)))
SCORES = (Axis(), *(Axis(1, n) for n in (2, 3, 4, 5, 6, 7)), *(Axis(0, n) for n in (3, 5, 7)))
FIRST_WEIGHT = Axis(1, 2)  # with which bits of the score are chosen
SIGNED_WEIGHTS = (*WEIGHTS, *(Axis(0, n) for n in (1, 3, 5)))


@dataclass(frozen=True)
class Tally:
    """Of a layer's bits: how many there are, and how many are set.

    Attributes:
        pairs: (256, 256) each, by the bytes of weight and score.
        axes: by filter, by channel and by position; (n,) each.
    """

    pairs: tuple[Floats, Floats]
    axes: tuple[tuple[Floats, Floats], ...]


def fitted(tally: Tally, weights: Sequence[Axis] = WEIGHTS, least: float = 0.0, gain: float = 0.0) -> Context:
    """The context of a layer.

    Args:
        tally: what to fit.
        weights: the choice of bits of the weight's byte.
        least: bits that a bit must be worth without a context for one to be looked for: it takes the
            reader time.
        gain: what bytes of the seed must save of all bits, as a fraction; they take the reader time, too.
    """
    total, set_ = (float(counts.sum()) for counts in tally.pairs)
    level = _nearest(total, set_)
    spread: list[Levels | None] = [None, None, None]
    table, axes = np.full((1, 1), level, np.uint8), (Axis(), Axis())
    if 0 < set_ < total and _entropy(*(counts.sum() for counts in tally.pairs)) > least * total:
        spread = _levels(tally, _Mixture.of(np.array([level]), np.ones(1)), spread)
        axes, sums = _axes(tally.pairs, weights)
        plain = _entropy(*(counts.sum() for counts in tally.pairs))
        if plain - _cost(sums) < gain * plain:
            axes, sums = (Axis(), Axis()), _turned(_summed(_turned(_summed(tally.pairs, Axis())), Axis()))
        if sums[0].size > 1:
            table = _table(sums, _mixture(spread))
        spread = _levels(tally, _Mixture.of(table.astype(np.int64), sums[0]), spread)
    return Context(*axes, table, *spread)


def _nearest(total: float, set_: float) -> int:
    odds = np.log((set_ + 0.5) / (total - set_ + 0.5))
    return int(np.clip(np.rint(odds / STEP) + EVEN, TABLE_LOW, TABLE_HIGH))


@dataclass(frozen=True)
class _Mixture:
    """Levels and how often each is met."""

    values: NDArray[np.int64]
    shares: Floats

    @staticmethod
    def of(values: NDArray[np.int64], weights: Floats) -> "_Mixture":
        found, where = np.unique(values, return_inverse=True)
        counts = np.bincount(where.reshape(-1), weights.reshape(-1))
        return _Mixture(found, counts / counts.sum())

    def plus(self, levels: Levels | None) -> "_Mixture":
        """Of sums with these, each met as often."""
        if levels is None:
            return self
        other = _Mixture.of(levels.astype(np.int64), np.ones(len(levels)))
        sums = self.values[:, None] + other.values
        return _Mixture.of(sums, self.shares[:, None] * other.shares)

    def cost(self, levels: NDArray[np.int64]) -> Floats:
        """Mean bits of an unset bit, of each level on top of these."""
        odds = (self.values + levels[:, None] - EVEN) * STEP
        found: Floats = np.logaddexp(0, odds) @ self.shares / np.log(2)
        return found


def _mixture(spread: Sequence[Levels | None]) -> _Mixture:
    found = _Mixture(np.zeros(1, np.int64), np.ones(1))
    for levels in spread:
        found = found.plus(levels)
    return found


def _levels(tally: Tally, base: _Mixture, before: Sequence[Levels | None]) -> list[Levels | None]:
    """Levels of filters, channels and positions, each given the others; None where they gain nothing."""
    found = list(before)
    for axis, (low, high) in enumerate(RANGES):
        others = base
        for other in range(3):
            others = others.plus(None if other == axis else found[other])
        found[axis] = _axis_levels(*tally.axes[axis], others, np.arange(low, high + 1))
    return found


def _axis_levels(total: Floats, set_: Floats, others: _Mixture, choices: NDArray[np.int64]) -> Levels | None:
    if len(total) < 2:
        return None
    bits = total[:, None] * others.cost(choices) - set_[:, None] * choices * (STEP / np.log(2))
    return cheapest_levels(bits, choices)


def cheapest_levels(bits: Floats, choices: NDArray[np.int64], unit: float = 1.0) -> Levels | None:
    """The choice of each row, by its bits and by what it costs itself; None where 0 for all is no worse.

    Args:
        bits: by row and choice.
        choices: the levels.
        unit: how many levels make a step of a class.
    """
    price = 1 + 1.5 / unit * np.abs(choices)
    for _ in range(3):
        best = (bits + price).argmin(1)
        counts = np.bincount(best, minlength=len(choices)) + 0.02
        price = np.log2(counts.sum() / counts)
    plain = bits[:, np.flatnonzero(choices == 0)[0]].sum()
    header = 12 * np.count_nonzero(counts > 1)
    if np.take_along_axis(bits + price, best[:, None], 1).sum() + header >= plain:
        return None
    return np.asarray(choices[best], np.int8)


def _axes(
    pairs: tuple[Floats, Floats], weights: Sequence[Axis]
) -> tuple[tuple[Axis, Axis], tuple[Floats, Floats]]:
    """The bits of both bytes that pay best, the score's first, and the counts by their values."""
    rows = _summed(pairs, FIRST_WEIGHT)
    score = min(SCORES, key=lambda axis: _cost(_turned(_summed(_turned(rows), axis))))
    columns = _turned(_summed(_turned(pairs), score))
    weight = min(weights, key=lambda axis: _cost(_summed(columns, axis)))
    if weight == Axis() and _cost(_summed(columns, weight)) >= _entropy(*(each.sum() for each in pairs)):
        score, columns = Axis(), _turned(_summed(_turned(pairs), Axis()))
    return (weight, score), _summed(columns, weight)


def _summed(pairs: tuple[Floats, Floats], axis: Axis) -> tuple[Floats, Floats]:
    """Rows added up where the axis has one value."""
    sides = 1 << axis.first, 1 << axis.count, CLASSES >> axis.first + axis.count
    total, set_ = (each.reshape(*sides, each.shape[1]).sum(2).sum(0) for each in pairs)
    return total, set_


def _turned(pairs: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    return pairs[0].T, pairs[1].T


def _cost(pairs: tuple[Floats, Floats]) -> float:
    return _entropy(*pairs) + CELL_BITS * (pairs[0].size if pairs[0].size > 1 else 0)


def _entropy(total: Any, set_: Any) -> float:
    unset = np.maximum(total - set_, 0)  # a mask's totals are what is expected of random bytes
    return float(np.sum(_times_log2(set_ + unset) - _times_log2(set_) - _times_log2(unset)))


def _times_log2(counts: Any) -> Any:
    return counts * np.log2(np.maximum(counts, 1e-9))


def _table(sums: tuple[Floats, Floats], offsets: _Mixture) -> NDArray[np.uint8]:
    """The classes of a table's cells: the cheapest path through each row, with what its turns cost."""
    total, set_ = sums
    choices = np.arange(TABLE_LOW, TABLE_HIGH + 1)
    empty, odds = offsets.cost(choices), (choices - EVEN) * (STEP / np.log(2))
    bits = total[:, :, None] * empty - set_[:, :, None] * odds
    rows, columns, count = bits.shape
    steps = np.arange(-REACH, REACH + 1)
    prices = TURN + CLIMB * np.abs(steps)
    came = np.zeros((columns, rows, count), np.int64)
    reached, padded = bits[:, 0], np.full((rows, count + 2 * REACH), np.inf)
    every = np.lib.stride_tricks.sliding_window_view(padded, count, axis=1)  # (rows, steps, count)
    for column in range(1, columns):
        padded[:, REACH:-REACH] = reached
        ways = every + prices[:, None]
        came[column] = np.arange(count) + steps[ways.argmin(1)]
        reached = ways.min(1) + bits[:, column]
    here = reached.argmin(1)
    table = np.zeros((rows, columns), np.int64)
    for column in range(columns - 1, -1, -1):
        table[:, column] = here
        here = np.take_along_axis(came[column], here[:, None], 1)[:, 0]
    return (choices[table]).astype(np.uint8)


assert TABLE_LOW + sum(low for low, _ in RANGES) >= 0
assert TABLE_HIGH + sum(high for _, high in RANGES) < CLASSES
