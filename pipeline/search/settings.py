"""Settings of a search, and when its learning rate and reuse events happen."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from recycle_pipeline.models.masked_network import Recipe

Reuse = Literal["recycle", "rerandomize", "none"]
REUSES: tuple[Reuse, ...] = get_args(Reuse)

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
        learning_rate: peak, of SGD with momentum; warmed up over `warmup` epochs, then cosine to 0 per step.
        momentum, weight_decay: of SGD on the scores.
        warmup: epochs, may be a fraction.
        label_smoothing: share of the target spread evenly over the classes.
        reuse: recycle, rerandomize or none.
        reuse_rate: fraction of a layer's weights per event (recycle), or probability (rerandomize).
        reuse_period: epochs from event to event.
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


def learning_rate_at(settings: SearchSettings, step: int, steps_per_epoch: int) -> float:
    """The learning rate of a step (from 0): linear warm-up, then cosine to 0 at the last step."""
    total = settings.epochs * steps_per_epoch
    warmup = settings.warmup * steps_per_epoch
    if step < warmup:
        return settings.learning_rate * min(1.0, (step + 1) / warmup)
    progress = (step - warmup) / max(1.0, total - warmup)
    return settings.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))


def reuse_event_after(settings: SearchSettings, epoch: int) -> bool:
    """Whether an event follows this epoch (from 0): the published rule, never the first nor the last."""
    if settings.reuse == "none" or epoch == 0 or epoch >= settings.epochs - 1:
        return False
    return epoch % settings.reuse_period == 0


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
