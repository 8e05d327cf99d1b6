"""Whether an epoch under way still has finite numbers, found out every `EVERY` steps at next to no cost.

An epoch of a large data set takes hours, and what is not finite stays so. A look costs a sum over the scores,
a few kernels or well below a thousandth of `EVERY` steps' time. On CUDA its answer is copied behind the work
that is launched by then and read at the next look, `EVERY` steps later, when it has long come: nothing waits.
Looks lie at fixed steps and processes agree on each answer, so that all stop at the same step.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recycle_pipeline.pipeline.search.distributed import ALONE, World

EVERY = 100  # steps
NEVER = 2**62  # no step has this number


@dataclass(frozen=True)
class _Look:
    """After step `step`; `found` is a bad step or NEVER, on the CPU once `passed`."""

    step: int
    found: Tensor
    passed: torch.cuda.Event | None


class Watch:
    """Over one epoch.

    Args:
        scores: what an engine trains, on its device.
        bad: (), int64, the first step whose loss was not finite or NEVER; kept up to date in place.
        first: number of the epoch's first step, over the whole search.
        world: the processes that search together.
    """

    def __init__(self, scores: Sequence[Tensor], bad: Tensor, first: int, world: World = ALONE) -> None:
        self._scores, self._bad, self._world = scores, bad, world
        self._first = self._good = first
        self._stopped: int | None = None
        self._pending: _Look | None = None
        self._late = scores[0].is_cuda  # whether an answer is read at the next look

    def stops(self, step: int) -> bool:
        """Call it once a step is launched; whether a look has found something that is not finite."""
        if (step + 1 - self._first) % EVERY:
            return False
        before, self._pending = self._pending, self._look(step)
        due = before if self._late else self._pending
        if due is None:
            return False
        if due.passed is not None:
            due.passed.synchronize()
        if int(due.found) == NEVER:
            self._good = due.step + 1
            return False
        self._stopped = due.step
        return True

    def span(self, last: int) -> tuple[int, int]:
        """The first and the last step in which what is not finite now can have become so.

        Args:
            last: step that was trained.
        """
        return self._good, last if self._stopped is None else self._stopped

    @torch.no_grad()
    def _look(self, step: int) -> _Look:
        finite = torch.stack([scores.sum() for scores in self._scores]).isfinite().all()
        found = self._world.least(torch.where(finite, self._bad, self._bad.clamp(max=step)))
        if not found.is_cuda:
            return _Look(step, found, None)
        host = torch.empty((), dtype=found.dtype, pin_memory=True)
        host.copy_(found, non_blocking=True)
        passed = torch.cuda.Event()  # type: ignore[no-untyped-call]
        passed.record()
        return _Look(step, host, passed)
