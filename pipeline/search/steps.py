"""What trains the scores for an epoch: the interface that the loop sees, and what it returns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from recycle_pipeline.models.errors import RecycleError
from recycle_pipeline.pipeline.search.settings import SearchSettings, learning_rate_at, peak_at


@dataclass(frozen=True)
class EpochSums:
    """Means over the images of an epoch, as trained.

    Attributes:
        loss, accuracy: means.
        bad_step: the first step, from 0 over the whole search, whose loss was not finite; or None.
        span: the first and the last step in which what else is not finite can have become so.
    """

    loss: float
    accuracy: float
    bad_step: int | None
    span: tuple[int, int]


@dataclass(frozen=True)
class StepHooks:
    """What the loop wants to do while an engine trains.

    Attributes:
        event_due: whether a reuse event comes before this step (from 0 over the whole search).
        event: does it, on the masked network, whose masks are exact by then.
        done: told the number of steps done, of the whole search.
        seen: told now and then, before `done`, sums over the epoch's steps so far: of losses times images,
            of correct answers, of images.
    """

    event_due: Callable[[int], bool]
    event: Callable[[int], None]
    done: Callable[[int], None]
    seen: Callable[[Sequence[float]], None] = lambda sums: None


class Steps(Protocol):
    """An engine. Between two calls the masked network holds the scores."""

    def train_epoch(self, epoch: int, prune: float, hooks: StepHooks) -> EpochSums:
        """Trains for an epoch, or until a loss or score is found that is not finite.

        Afterwards the masked network's masks are exact for its scores.
        """

    def evaluate(self) -> float:
        """Top-1 fraction on the test split with the masked network's masks, as fast as the device can."""

    def memory(self) -> dict[str, Tensor]:
        """What the optimizer remembers, by the names of `memory`; not copies."""

    def carried(self) -> dict[str, Tensor]:
        """What this engine alone keeps from epoch to epoch; not copies."""

    def remember(self, memory: Mapping[str, Tensor], carried: Mapping[str, Tensor]) -> None:
        """Takes over what such an engine gave; the masked network holds scores and weights of then.

        Args:
            memory: of this or another engine.
            carried: of this engine, or empty.
        """

    def release(self) -> None:
        """Gives back what the device holds for it alone. Nothing else is called afterwards."""


def not_finite(
    sums: EpochSums, settings: SearchSettings, steps: int, kept: str, spoilt: str | None = None
) -> RecycleError:
    """The error for an epoch whose loss, or what it left, is NaN or infinite.

    Args:
        sums: of the epoch.
        settings: of the search.
        steps: steps per epoch.
        kept: what to say of the state before, if it is kept.
        spoilt: name of a tensor that is not finite.
    """
    peak = peak_at(settings, sums.span[1] // steps)
    advice = f"try a lower --learning-rate than {peak:g}, or a larger --batch-size{kept}"
    if sums.bad_step is None:
        what = "the scores are" if spoilt is None or "parametrizations." in spoilt else f"{spoilt} is"
        first, last = sums.span
        where = f"since step {last + 1}" if first == last else f"since one of steps {first + 1} to {last + 1}"
        what += f" not finite though the loss is, {where}"
    else:
        first = last = sums.bad_step
        what = f"the loss is not finite at step {first + 1}"
    rates = [learning_rate_at(settings, step, steps) for step in range(first, last + 1)]
    low, high = (f"{rate:.3g}" for rate in (min(rates), max(rates)))
    rate = low if low == high else f"{low} to {high}"
    return RecycleError(f"{what}, in epoch {first // steps + 1} (learning rate {rate}); {advice}")
