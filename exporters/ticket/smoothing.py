"""Tallies that take little room in the header: a few counts as they are, the others levelled.

Bytes of mantissas are nearly uniform but for some, such as 0. What a tally costs is the bits that the
symbols then take and its own spelling. Any tally of the right sum is one that a reader takes.
"""

import math
import zlib
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket import layout
from recycle_pipeline.exporters.ticket.coding.tables import SYMBOLS, TOTAL, of_counts

Counts = NDArray[np.int64]
WIDTHS = 32, 256  # symbols whose counts are levelled together
STEPS = 1, 2  # 2: even symbols and odd ones apart, for the lowest bit may be a sign
SPIKES = 0, 1, 2, 8  # counts that stay as they are
DIGITS = 1, 2
EMPTY = 2 * 8  # bits of a plane's empty tally, which means that the plane is uniform


def cheapest(tally: list[int]) -> list[int]:
    """The tally that symbols with these counts are coded by best; empty where none is better than uniform.

    Args:
        tally: counts of the symbols, up to the last that came up.
    """
    return _least(tally, _candidates, 8.0 * sum(tally) + EMPTY, [])


def rounded(tally: list[int]) -> list[int]:
    """The same of symbols that have no other way to be coded: a tally of as many symbols."""
    return _least(tally, _rounded, math.inf, tally)


def _least(
    tally: list[int], candidates: Callable[[Counts], Iterator[Counts]], least: float, found: list[int]
) -> list[int]:
    counts = np.zeros(SYMBOLS, np.int64)
    counts[: len(tally)] = tally
    for candidate in candidates(counts):
        used = candidate[: candidate.nonzero()[0][-1] + 1].tolist() if candidate.any() else []
        if used and (cost := _bits(counts, used)) < least:
            least, found = cost, used
    return found


def _candidates(counts: Counts) -> Iterator[Counts]:
    yield from _rounded(counts)
    for width in WIDTHS:
        for step in STEPS:
            bins = (
                np.arange(SYMBOLS).reshape(-1, width // step, step).swapaxes(1, 2).reshape(-1, width // step)
            )
            apart = np.empty(SYMBOLS)
            apart[bins] = np.abs(counts[bins] - np.median(counts[bins], axis=1, keepdims=True))
            order = apart.argsort(kind="stable")
            for spikes in SPIKES:
                yield _levelled(counts, bins, order[SYMBOLS - spikes :])


def _rounded(counts: Counts) -> Iterator[Counts]:
    """As they are; and of a few decimal digits, where the greatest makes up for what others gain or lose."""
    yield counts
    for digits in DIGITS:
        units = 10 ** np.maximum(0, [len(str(count)) - digits for count in counts.tolist()])
        found = (counts + units // 2) // units * units
        found[counts.argmax()] += counts.sum() - found.sum()
        if found[counts.argmax()] >= 0:
            yield found


def _levelled(counts: Counts, bins: NDArray[np.intp], kept: NDArray[np.intp]) -> Counts:
    """Counts that are not kept, evened out over each of the bins; the first get what is left over."""
    found, free = counts.copy(), np.ones(SYMBOLS, np.bool_)
    free[kept] = False
    for symbols in bins:
        others = symbols[free[symbols]]
        if len(others):
            each, more = divmod(int(counts[others].sum()), len(others))
            found[others] = each
            found[others[:more]] += 1
    return found


def _bits(counts: Counts, tally: list[int]) -> float:
    """Of symbols with these counts under the tally, and about those that the tally takes itself."""
    frequencies = of_counts(tally).astype(np.float64)
    spelling = zlib.compress(layout.canonical_json(tally).encode(), 9)
    return float(counts @ (math.log2(TOTAL) - np.log2(frequencies))) + 8 * len(spelling)
