"""Latency at further batch sizes and thread counts than the one that gates judge."""

from collections.abc import Mapping
from dataclasses import asdict
from itertools import product
from typing import TYPE_CHECKING, Any

from recycle_pipeline.pipeline.forms import DENSE
from recycle_pipeline.pipeline.stages.stage import Context
from recycle_pipeline.pipeline.stages.verify_subject import Subject, threads_of
from recycle_pipeline.pipeline.stages.verify_twins import twins

if TYPE_CHECKING:
    from recycle_pipeline.evaluators.report import Latency

TWIN = "dense twin"
# For each of SESSIONS pairs two rounds at the least: 256 images take seconds.
SECONDS, MIN_ROUNDS = 3.0, 12


def further_latencies(context: Context, subject: Subject, forms: Mapping[str, str]) -> list[dict[str, Any]]:
    """Times each form at every batch and thread count that was asked for after the first.

    Args:
        context: with the settings, and told what is timed.
        subject: as it was verified.
        forms: those to time, and the provider of each.

    Returns:
        A dict for each form and setting: `onnx` beside the dense twin, the others beside `onnx`.
    """
    config = context.config
    settings = list(product(threads_of(config), config.timed_batch))[1:]
    if not settings:
        return []
    found = []
    with twins(subject.rebuilt, subject.model) as (twin, _):
        for threads, batch in settings:
            words = f"batch {batch}, {threads} thread{'s' * (threads != 1)}"
            context.reporter.stage("verify", f"latency at {words}: {', '.join(forms)}")
            for form, provider in forms.items():
                against = twin if form == DENSE else subject.model.path
                paths = context.folder.lying(form), against
                latency = _timed(subject, paths, provider, threads, batch)
                found.append(_row(form, TWIN if form == DENSE else DENSE, provider, latency))
    return found


def _timed(subject: Subject, paths: tuple[Any, Any], provider: str, threads: int, batch: int) -> "Latency":
    from recycle_pipeline.evaluators.beside import LatencySettings, time_beside
    from recycle_pipeline.evaluators.session import open_session

    model, against = (open_session(path, provider, threads) for path in paths)
    settings = LatencySettings(seconds=SECONDS, min_rounds=MIN_ROUNDS, batch=batch)
    return time_beside(model, subject.fed, settings, baseline=against)


def _row(form: str, against: str, provider: str, latency: "Latency") -> dict[str, Any]:
    from recycle_pipeline.evaluators.report import samples_json

    assert latency.baseline is not None and latency.ratio is not None
    own, other = samples_json(latency.model), samples_json(latency.baseline)
    return {
        "form": form,
        "against": against,
        "provider": provider,
        "batch": latency.batch,
        "threads": latency.threads,
        "n": own["n"],
        "median_ms": own["median_ms"],
        "median_low_ms": own["median_low_ms"],
        "median_high_ms": own["median_high_ms"],
        "against_ms": other["median_ms"],
        "ratio": asdict(latency.ratio),
    }
