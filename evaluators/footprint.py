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

    def verdict(self, increase: float) -> Verdict:
        """Passed or failed where all pairs agree, inconclusive where only some keep to the limit."""
        limit = 1 + increase
        low = min(self.candidate) / max(*self.baseline, 1)
        high = max(self.candidate) / max(min(self.baseline), 1)
        outcome: Outcome = "passed" if high <= limit else "failed" if low > limit else "inconclusive"
        ratio = float(np.median(self.candidate) / max(float(np.median(self.baseline)), 1.0))
        sentence = (
            f"peak memory grows by {np.median(self.candidate) / 1e6:,.1f} MB, {ratio:.3f} of the baseline's "
            f"({low:.3f} to {high:.3f} over all pairs of {len(self.baseline)} processes each); "
            f"the limit is {limit:.3f}"
        )
        return Verdict("max_memory_increase", outcome, ratio, limit, sentence)


def measure_memory(baseline: Path, candidate: Path, setting: Setting, rng: np.random.Generator) -> Memory:
    """Opens and runs each model in `PROCESSES` processes of its own, in random order.

    Raises:
        RecycleError: a model that cannot be opened or run.
    """
    paths = [baseline, candidate]
    grown: list[list[int]] = [[], []]
    for _ in range(PROCESSES):
        for which in rng.permutation(2):
            with Worker() as worker:
                grown[which].append(worker.open(paths[which], setting).memory)
    return Memory(tuple(grown[0]), tuple(grown[1]))
