"""Measure a candidate beside its baseline until the answer is clear, or the time is over."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from recycle_pipeline.evaluators.blocks import Block, Blocks, contrast
from recycle_pipeline.evaluators.slowdown import Judgement, judge
from recycle_pipeline.models.errors import UsageFault

Quantity = Literal["latency", "load"]
Say = Callable[[dict[Quantity, Judgement]], None]


@dataclass(frozen=True, eq=False)
class Measured:
    """All blocks, what they say of each quantity, and the seconds that it took."""

    blocks: tuple[Block, ...]
    judgements: dict[Quantity, Judgement]
    seconds: float


def compare(
    blocks: Blocks, limits: dict[Quantity, float], *, alpha: float, seconds: float, say: Say = lambda _: None
) -> Measured:
    """Measures blocks, and judges after each.

    Args:
        blocks: of the pair of models.
        limits: the largest ratio of each quantity that is judged; latency and load times come from the same
            blocks.
        alpha: chance of a wrong verdict about one quantity.
        seconds: time budget. A block that would not end within it is not begun, but for the first.
        say: told what the blocks say so far.

    Raises:
        UsageFault: a budget that is no time, or limits and chances as `judge` refuses them.
        RecycleError: a model that cannot be opened or run.
    """
    if not 0 < seconds < float("inf"):
        raise UsageFault(f"a time budget of {seconds:g} s given; expected a finite time above 0.")
    done: list[Block] = []
    started = time.perf_counter()
    while True:
        done.append(blocks.measure())
        found = _judged(done, limits, alpha)
        say(found)
        spent = time.perf_counter() - started
        clear = all(each.outcome != "inconclusive" for each in found.values())
        if clear or spent * (len(done) + 1) / len(done) > seconds:
            return Measured(tuple(done), found, spent)


def _judged(
    blocks: Sequence[Block], limits: dict[Quantity, float], alpha: float
) -> dict[Quantity, Judgement]:
    values = {"latency": [b.medians for b in blocks], "load": [np.asarray(b.load_s) for b in blocks]}
    return {
        name: judge([contrast(each) for each in values[name]], limit, alpha) for name, limit in limits.items()
    }
