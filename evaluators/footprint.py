"""Peak memory of a model, beside its baseline's."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recycle_pipeline.evaluators.gates import Outcome, Verdict
from recycle_pipeline.evaluators.setting import Setting
from recycle_pipeline.evaluators.workers import Worker

PROCESSES = 3  # of each model: memory varies by pages, not by what else the machine does


@dataclass(frozen=True)
class Memory:
    """Bytes by which the peak of a fresh process grew from opening a model and running it once.

    Attributes:
        baseline, candidate: one value per process.
    """

    baseline: tuple[int, ...]
    candidate: tuple[int, ...]


def memory_of(path: Path, setting: Setting) -> tuple[int, ...]:
    """Opens and runs a model in `PROCESSES` processes, one after the other.

    Raises:
        RecycleError: a model that cannot be opened or run.
    """
    found = []
    for _ in range(PROCESSES):
        with Worker() as worker:
            found.append(worker.open(path, setting).memory)
    return tuple(found)


def memory_verdict(memory: Memory, increase: float) -> Verdict:
    """Passed or failed where all pairs agree, inconclusive where only some keep to the limit."""
    limit, baseline, candidate = 1 + increase, memory.baseline, memory.candidate
    low, high = min(candidate) / max(*baseline, 1), max(candidate) / max(min(baseline), 1)
    outcome: Outcome = "passed" if high <= limit else "failed" if low > limit else "inconclusive"
    ratio = float(np.median(candidate)) / max(float(np.median(baseline)), 1.0)
    sentence = (
        f"peak memory grows by {np.median(candidate) / 1e6:,.1f} MB, {ratio:.3f} of the baseline's "
        f"({low:.3f} to {high:.3f} over all pairs of n = {len(candidate)} processes each); "
        f"the limit is {limit:.3f}"
    )
    return Verdict("max_memory_increase", outcome, ratio, limit, sentence)
