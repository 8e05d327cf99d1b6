"""Time models side by side, so that what disturbs one disturbs the others too.

All models run once per round, in random order; a round is the unit that is resampled. Absolute times
belong to one machine and one hour; the ratio of two models timed together is what travels.
"""

import contextlib
import gc
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from recycle_pipeline.evaluators.samples import LatencySamples, RatioInterval, ratio_of_medians
from recycle_pipeline.models.errors import UsageFault

__all__ = ["LatencySamples", "RatioInterval", "measure", "ratio_of_medians"]

WINDOW, SETTLED = 8, 0.05  # warm-up: rounds per window, relative change between windows' medians


def measure(
    models: Mapping[str, Callable[[], object]], *, seconds: float, min_rounds: int, seed: int
) -> dict[str, LatencySamples]:
    """Time models in interleaved rounds, after a warm-up of at most `seconds` / 2.

    Args:
        models: a call for each name; its result is dropped.
        seconds: length of the measurement, warm-up not counted.
        min_rounds: rounds to run even if they take longer than `seconds`.
        seed: of the order within the rounds.

    Returns:
        Samples for each name, all of the same n; the same position is the same round.

    Raises:
        UsageFault: no models, negative seconds, or fewer than one round.
    """
    if not models or not 0 <= seconds < float("inf") or min_rounds < 1:
        raise UsageFault(
            f"measure was given {len(models)} models, {seconds} seconds, {min_rounds} rounds; expected at "
            "least one model, a finite time of at least 0 and at least one round."
        )
    rng = np.random.default_rng(seed)
    samples: dict[str, list[float]] = {name: [] for name in models}
    with _collector_off():
        warm_up_rounds, settled = _warm_up(models, rng, seconds / 2)
        end, rounds = time.perf_counter() + seconds, 0
        while rounds < min_rounds or time.perf_counter() < end:
            _round(models, rng, samples)
            rounds += 1
    return {name: LatencySamples(tuple(ms), warm_up_rounds, settled) for name, ms in samples.items()}


def _round(
    models: Mapping[str, Callable[[], object]], rng: np.random.Generator, samples: dict[str, list[float]]
) -> None:
    """Run every model once, in random order, and append its time in ms."""
    names = list(models)
    for i in rng.permutation(len(names)):
        run = models[names[i]]
        start = time.perf_counter_ns()
        run()
        samples[names[i]].append(max(time.perf_counter_ns() - start, 1) / 1e6)


def _warm_up(
    models: Mapping[str, Callable[[], object]], rng: np.random.Generator, limit_s: float
) -> tuple[int, bool]:
    """Run rounds until two windows' medians agree for every model, or the time is over.

    Returns:
        The number of rounds, at least one, and whether they settled.
    """
    end, rounds = time.perf_counter() + limit_s, 0
    before: list[float] | None = None
    while True:
        window: dict[str, list[float]] = {name: [] for name in models}
        for _ in range(WINDOW):
            _round(models, rng, window)
            rounds += 1
            if time.perf_counter() >= end:
                return rounds, False
        now = [float(np.median(ms)) for ms in window.values()]
        if before and all(abs(a - b) <= SETTLED * a for a, b in zip(before, now, strict=True)):
            return rounds, True
        before = now


@contextlib.contextmanager
def _collector_off() -> Iterator[None]:
    """Keep Python's garbage collector out of the samples, as `timeit` does."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
