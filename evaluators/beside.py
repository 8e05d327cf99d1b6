"""Time a model and what it is compared with beside one another, in fresh sessions again and again."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from recycle_pipeline.evaluators.arrays import Array, Split
from recycle_pipeline.evaluators.latency import measure
from recycle_pipeline.evaluators.onnx_model import OnnxModel
from recycle_pipeline.evaluators.report import Latency
from recycle_pipeline.evaluators.samples import (
    MIN_ROUNDS,
    P90_SAMPLES,
    LatencySamples,
    ratio_over_sessions,
    together,
)
from recycle_pipeline.evaluators.session import open_session
from recycle_pipeline.models.errors import UsageFault

# Of two sessions of one file one is often faster for as long as both live (see `blocks`): with one pair, a
# third of intervals over rounds called equal models different (benchmarks/session_effect.py).
SESSIONS = 6


@dataclass(frozen=True)
class LatencySettings:
    """How to time: `seconds` and at least `min_rounds` rounds; `seed` orders and resamples them.

    `batch` is the images of a call; None takes what the model takes, 1 where that is free. The default rounds
    are what a 90th percentile needs.

    Raises:
        UsageFault: a time below 0, fewer rounds than an interval needs, or a batch below 1.
    """

    seconds: float = 5.0
    min_rounds: int = P90_SAMPLES
    seed: int = 0
    batch: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.seconds < float("inf") or self.min_rounds < MIN_ROUNDS:
            raise UsageFault(
                f"{self.seconds} seconds and {self.min_rounds} rounds given for timing; expected a finite "
                f"time of at least 0 and at least {MIN_ROUNDS} rounds."
            )
        if self.batch is not None and self.batch < 1:
            raise UsageFault(f"batch {self.batch} given for timing; expected at least 1.")


def time_beside(
    model: OnnxModel,
    images: Split,
    settings: LatencySettings,
    *,
    baseline: OnnxModel | None = None,
    same_shapes: OnnxModel | None = None,
) -> Latency:
    """Times the model, and the others if there are any, in `SESSIONS` sessions each.

    Args:
        model: opened with the provider and threads to time it with, as the others are.
        images: (N, C, H, W), the first of which are taken, again and again where N is below the batch.
        settings: how long, and with how many images.
        baseline: what the ratio is to.
        same_shapes: another, see `Latency`.

    Raises:
        UsageFault: a model that takes another batch; a baseline under another provider or with other threads.
        RecycleError: ONNX Runtime failed while running.
    """
    others = {"baseline": baseline, "same_shapes": same_shapes}
    models = {"model": model} | {name: other for name, other in others.items() if other}
    batch = timed_batch(model, settings)
    for other in list(models.values())[1:]:
        require_alike(model, other, batch)
    some = np.ascontiguousarray(_first(images, batch))
    parts = [_in_new_sessions(models, some, settings, session) for session in range(SESSIONS)]
    samples = {name: [part[name] for part in parts] for name in models}
    found: list[Any] = []
    for name in others:
        there = samples.get(name)
        found += [together(there), ratio_over_sessions(samples["model"], there)] if there else [None, None]
    return Latency(batch, model.threads, together(samples["model"]), *found)


def timed_batch(model: OnnxModel, settings: LatencySettings) -> int:
    """The images of a call. Raises UsageFault where the model takes another number than was asked for."""
    fixed = fixed_batch(model)
    if fixed and settings.batch not in (None, fixed):
        raise UsageFault(
            f"{model.path} takes exactly {fixed} images a call, and timing with {settings.batch} was asked "
            "for. Export it with a dynamic batch, or ask for that."
        )
    return fixed or settings.batch or 1


def fixed_batch(model: OnnxModel) -> int | None:
    """The images of a call where the model says how many."""
    return model.input_shape[0] if model.input_shape else None


def require_alike(model: OnnxModel, baseline: OnnxModel, batch: int | None) -> None:
    """Raises UsageFault unless both run alike and the baseline takes that batch, if there is one."""
    if (baseline.provider, baseline.threads) != (model.provider, model.threads):
        raise UsageFault(
            f"{model.path} runs on {model.provider} with {model.threads} threads, the baseline "
            f"{baseline.path} on {baseline.provider} with {baseline.threads}; expected the same for both. "
            "Open both with the same provider and threads."
        )
    if batch is not None and fixed_batch(baseline) not in (None, batch):
        raise UsageFault(
            f"the baseline {baseline.path} takes exactly {fixed_batch(baseline)} images a call, the model "
            f"is timed with {batch}. Export the baseline with a dynamic batch."
        )


def _first(images: Split, batch: int) -> Array:
    some = images[: min(batch, len(images))]
    return some if len(some) == batch else some[np.arange(batch) % len(some)]


def _in_new_sessions(
    models: dict[str, OnnxModel], some: Array, settings: LatencySettings, session: int
) -> dict[str, LatencySamples]:
    """Opens all models anew, in random order, and times them for their part of the time."""
    rng = np.random.default_rng([settings.seed, session])
    names = [list(models)[i] for i in rng.permutation(len(models))]
    opened = {name: _again(models[name]) for name in names}
    return measure(
        {name: partial(opened[name].predict, some) for name in models},
        seconds=settings.seconds / SESSIONS,
        min_rounds=-(-settings.min_rounds // SESSIONS),
        seed=int(rng.integers(2**31)),
    )


def _again(model: OnnxModel) -> OnnxModel:
    return open_session(model.path, model.provider, model.threads)
