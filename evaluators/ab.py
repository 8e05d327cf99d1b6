"""Measure blocks until the answer is clear, or the time is over."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from recycle_pipeline.evaluators.blocks import Block, Blocks, Contrast, contrast
from recycle_pipeline.evaluators.slowdown import Judgement
from recycle_pipeline.models.errors import UsageFault

Quantity = Literal["latency", "load"]
Judge = Callable[[list[Contrast]], Judgement]
Judgements = dict[Quantity, Judgement]
Say = Callable[[Judgements], None]


@dataclass(frozen=True, eq=False)
class Measured:
    """All blocks, what they say of each quantity, and the seconds that it took."""

    blocks: tuple[Block, ...]
    judgements: Judgements
    seconds: float

    @property
    def contrasts(self) -> dict[Quantity, list[Contrast]]:
        """Of each block."""
        return {"latency": latencies(self.blocks), "load": loads(self.blocks)}


def measure_until_clear(
    blocks: Blocks, judges: Mapping[Quantity, Judge], *, seconds: float, say: Say = lambda _: None
) -> Measured:
    """Measures blocks, and judges after each until no judgement is inconclusive.

    Args:
        blocks: of sessions as `blocks.twice` orders them.
        judges: of each quantity; latency and load times come from the same blocks.
        seconds: time budget. A block that would not end within it is not begun, but for the first.
        say: told what the blocks say so far.

    Raises:
        UsageFault: a budget that is no time, or limits and chances as the judges refuse them.
        RecycleError: a model that cannot be opened or run.
    """
    if not 0 < seconds < float("inf"):
        raise UsageFault(f"a time budget of {seconds:g} s given; expected a finite time above 0.")
    done: list[Block] = []
    started = time.perf_counter()
    while True:
        done.append(blocks.measure())
        values = {"latency": latencies(done), "load": loads(done)}
        found = {name: judge(values[name]) for name, judge in judges.items()}
        say(found)
        spent = time.perf_counter() - started
        clear = all(each.outcome != "inconclusive" for each in found.values())
        if clear or spent * (len(done) + 1) / len(done) > seconds:
            return Measured(tuple(done), found, spent)


def latencies(blocks: Sequence[Block]) -> list[Contrast]:
    """Contrasts of the blocks' median times."""
    return [contrast(block.medians) for block in blocks]


def loads(blocks: Sequence[Block]) -> list[Contrast]:
    """Contrasts of the times to open a session."""
    return [contrast(block.load_s) for block in blocks]
