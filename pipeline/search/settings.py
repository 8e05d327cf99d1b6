"""Settings of a search, and when its learning rate and reuse events happen."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.models.recipe import Recipe
from recycle_pipeline.models.reuse import RecycleFrom
from recycle_pipeline.pipeline.search.precision import Precision

Reuse = Literal["recycle", "rerandomize", "hybrid", "none"]
REUSES: tuple[Reuse, ...] = get_args(Reuse)
Optimizer = Literal["sgd", "adam", "lars"]
OPTIMIZERS: tuple[Optimizer, ...] = get_args(Optimizer)
Schedule = Literal["cosine", "cosine-epoch", "constant"]
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)
LAST_EVENT = 2**15 - 1  # the largest draw number that provenance and tickets hold, an int16

# Global scope starts from half of the weights: a schedule of the published length, or of the first
# third of a shorter search.
GLOBAL_RAMP_EPOCHS = 10
GLOBAL_RAMP_START = 0.5


@dataclass(frozen=True)
class SearchSettings:
    """Everything that decides a search's outcome besides data and architecture.

    Attributes:
        recipe: draws and masks.
        epochs: passes over the training images.
        batch_size: images per step.
        learning_rate: peak; warmed up over `warmup` epochs, then as `schedule` says.
        momentum, weight_decay: of SGD and LARS on the scores; Adam uses neither.
        warmup: epochs, may be a fraction.
        label_smoothing: share of the target spread evenly over the classes.
        reuse: recycle, rerandomize, hybrid (both at half the rate) or none.
        reuse_rate: fraction of a layer's weights per event (recycle), or probability (rerandomize).
        reuse_period: epochs from event to event; without meaning where events are counted in steps.
        optimizer: SGD with momentum, or Adam without weight decay, as Biprop's code has them; or LARS, whose
            learning rate is the length of a step as a share of the layer's scores.
        schedule: of the learning rate after its warm-up: cosine to 0 per step; the same held within an
            epoch, as published; or constant.
        recycle_from: the block that recycling copies: the top as published, or its ablation, the next-lowest.
        reuse_period_steps: steps from event to event, IteRand's rule; None for the rule by epochs.
        learning_rate_after: pairs of a number of epochs and the peak that holds once these are over, rising.
        precision: numbers of forward and backward passes; auto is bfloat16 on CUDA, float32 elsewhere.
    """

    recipe: Recipe
    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float
    weight_decay: float
    warmup: float
    label_smoothing: float
    reuse: Reuse
    reuse_rate: float
    reuse_period: int
    optimizer: Optimizer = "sgd"
    schedule: Schedule = "cosine"
    recycle_from: RecycleFrom = "top"
    reuse_period_steps: int | None = None
    learning_rate_after: tuple[tuple[int, float], ...] = ()
    precision: Precision = "auto"


def peak_at(settings: SearchSettings, epoch: int) -> float:
    """The peak of the learning rate that holds in an epoch (from 0)."""
    rates = [rate for epochs, rate in settings.learning_rate_after if epochs <= epoch]
    return rates[-1] if rates else settings.learning_rate


def learning_rate_at(settings: SearchSettings, step: int, steps_per_epoch: int) -> float:
    """The learning rate of a step (from 0): linear warm-up, then the schedule, times the epoch's peak.

    Both cosines reach 0 at the end of the last epoch: `cosine` falls with every step, `cosine-epoch` with
    every epoch and holds within it (hidden-networks and what came of it), warm-up included.
    """
    peak = peak_at(settings, step // steps_per_epoch)
    if settings.schedule == "cosine-epoch":
        step, steps_per_epoch = step // steps_per_epoch, 1
    total = settings.epochs * steps_per_epoch
    warmup = settings.warmup * steps_per_epoch
    if step < warmup:
        return peak * min(1.0, (step + 1) / warmup)
    if settings.schedule == "constant":
        return peak
    progress = (step - warmup) / max(1.0, total - warmup)
    return peak * 0.5 * (1.0 + math.cos(math.pi * progress))


def reuse_event_after(settings: SearchSettings, epoch: int) -> bool:
    """Whether an event follows this epoch (from 0): never the first nor the last, as published."""
    if settings.reuse == "none" or settings.reuse_period_steps is not None:
        return False
    return 0 < epoch < settings.epochs - 1 and epoch % settings.reuse_period == 0


def reuse_event_before_step(settings: SearchSettings, step: int) -> bool:
    """Whether an event precedes the forward of this step (from 0, over all epochs): IteRand's rule.

    It goes on to the end of the search. The event goes by the masks of the scores as they are then.
    """
    if settings.reuse == "none" or settings.reuse_period_steps is None:
        return False
    return (step + 1) % settings.reuse_period_steps == 0


def event_number_after(settings: SearchSettings, epoch: int) -> int:
    """The number of the event after this epoch: 1, 2, 3 ... in the order of events."""
    return epoch // settings.reuse_period


def event_number_before_step(settings: SearchSettings, step: int) -> int:
    """The number of the event before this step: 1, 2, 3 ... in the order of events."""
    assert settings.reuse_period_steps is not None, "events are counted in epochs"
    return (step + 1) // settings.reuse_period_steps


def check_event_numbers(settings: SearchSettings, steps_per_epoch: int) -> None:
    """Refuses a search with more events that draw than a ticket can number.

    Raises:
        UsageFault: there would be more than 32767; recycling draws nothing and is not limited.
    """
    if settings.reuse not in ("rerandomize", "hybrid"):
        return
    period = settings.reuse_period_steps
    if period is None:
        events, option = (settings.epochs - 2) // settings.reuse_period, "--reuse-period"
    else:
        events, option = settings.epochs * steps_per_epoch // period, "--reuse-period-steps"
    if events > LAST_EVENT:
        raise UsageFault(
            f"--reuse {settings.reuse} with {option} {period or settings.reuse_period} makes {events} "
            f"events; a ticket numbers at most {LAST_EVENT}: give a longer period"
        )


def prune_at(settings: SearchSettings, epoch: int) -> float:
    """The prune rate of an epoch (from 0).

    Layer scope holds the asked rate throughout. Global scope rises to it from 0.5 by the published
    cubic, which keeps layers from collapsing before their scores mean anything (Diffenderfer and
    Kailkhura 2021); rates up to 0.5 hold at once.
    """
    final = settings.recipe.prune
    ramp = min(GLOBAL_RAMP_EPOCHS, settings.epochs // 3)
    if settings.recipe.scope == "layer" or final <= GLOBAL_RAMP_START or epoch >= ramp:
        return final
    return final + (GLOBAL_RAMP_START - final) * (1.0 - epoch / ramp) ** 3
