"""A block: both models opened anew, twice each, and run in turns.

Of two sessions of one file in one process, one is often faster by some tenths of a percent to a few, for as
long as both live: memory lies elsewhere. Rounds within such a pair, however many, all say the same wrong
thing, so a round is no independent sample. A block is one: it opens two sessions of each model in random
order, in a fresh process, runs them in rounds of random order, and gives two numbers (`contrast`).

- `between`: log of the candidate's over the baseline's median, the mean of both sessions of each;
- `within`: the same contrast between sessions of the same file (A/A), which is nothing but noise. Under equal
  models it has the distribution of `between`, so it is the noise floor, measured in the same seconds.

Because the order of creation and of each round is random, `between` is symmetric about the true value where
both models are disturbed alike, which is what `sequential` needs.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from recycle_pipeline.evaluators.setting import Setting
from recycle_pipeline.evaluators.workers import WarmUp, Worker

BLOCK_S, WARM_UP_S = 1.0, 1.0
FEWEST_ROUNDS, MOST_ROUNDS = 16, 250

Isolation = Literal["block", "session"]
Rng = np.random.Generator


@dataclass(frozen=True, eq=False)
class Block:
    """Times of one block.

    Attributes:
        ns: (sessions, rounds); the same column is the same round.
        load_s: (sessions,) seconds that opening each took.
        created: the order in which they were opened, as indices into `ns`.
        settled: whether times had settled when the rounds began.
    """

    ns: npt.NDArray[np.int64]
    load_s: npt.NDArray[np.float64]
    created: tuple[int, ...]
    settled: bool

    @property
    def medians(self) -> npt.NDArray[np.float64]:
        """(sessions,) ms."""
        return np.asarray(np.median(self.ns, axis=1) / 1e6)


@dataclass(frozen=True)
class Contrast:
    """What a block says of one quantity, as logarithms of ratios; see the module."""

    between: float
    within: float


def contrast(values: npt.NDArray[np.float64]) -> Contrast:
    """Of (4,) positive values: two of the baseline, two of the candidate; which is first was drawn."""
    a, b, c, d = np.log(values)
    return Contrast(between=float((c + d - a - b) / 2), within=float((a - b + c - d) / 2))


def twice(baseline: Path, candidate: Path) -> tuple[Path, ...]:
    """The sessions of a block that `contrast` can be asked about."""
    return baseline, baseline, candidate, candidate


class Blocks:
    """Makes blocks of some models.

    Args:
        paths: ONNX files, one for each session.
        setting: how to run them.
        isolation: a fresh process for each block, or for each session (rounds then cross processes).
        rng: of all orders.
        core: the one core to use, None for any.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        setting: Setting,
        rng: Rng,
        isolation: Isolation = "block",
        core: int | None = None,
    ) -> None:
        self._paths, self._setting, self._rng = tuple(paths), setting, rng
        self._isolation, self._core = isolation, core

    def measure(self) -> Block:
        """Measures one block.

        Raises:
            RecycleError: a model that cannot be opened or run.
        """
        count = len(self._paths)
        created = tuple(int(i) for i in self._rng.permutation(count))
        numbers = np.argsort(created)  # that the session of each path was opened as
        with self._opened(created) as (load_s, warm_up, run):
            state = warm_up(WARM_UP_S)
            rounds = int(np.clip(BLOCK_S / max(state.round_s, 1e-9), FEWEST_ROUNDS, MOST_ROUNDS))
            order = np.concatenate([self._rng.permutation(count) for _ in range(rounds)])  # (rounds * count,)
            times = np.asarray(run(order), np.int64)
        ns = np.stack([times[order == number] for number in numbers])  # (paths, rounds)
        return Block(ns, np.asarray(load_s)[numbers], created, state.settled)

    @contextmanager
    def _opened(self, created: tuple[int, ...]) -> Iterator[tuple[list[float], "_WarmUp", "_Run"]]:
        """Sessions numbered by the order in which they were opened."""
        with ExitStack() as stack:
            count = len(created) if self._isolation == "session" else 1
            workers = [stack.enter_context(Worker(self._core)) for _ in range(count)]
            load_s = [
                workers[number % count].open(self._paths[which], self._setting).seconds
                for number, which in enumerate(created)
            ]
            yield load_s, *(_apart(workers) if count > 1 else (workers[0].warm_up, workers[0].run))


_WarmUp = Callable[[float], WarmUp]
_Run = Callable[[npt.NDArray[np.int64]], list[int]]


def _apart(workers: list[Worker]) -> tuple[_WarmUp, _Run]:
    """Sessions in a process each. The run after a switch of process finds cold caches: the second counts."""

    def warm_up(seconds: float) -> WarmUp:
        found = [worker.warm_up(seconds / len(workers)) for worker in workers]
        return WarmUp(
            sum(one.rounds for one in found),
            all(one.settled for one in found),
            2 * sum(one.round_s for one in found),
        )

    def run(order: npt.NDArray[np.int64]) -> list[int]:
        return [workers[which].run([0, 0])[1] for which in order]

    return warm_up, run
