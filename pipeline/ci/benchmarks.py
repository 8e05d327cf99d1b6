"""Numbers of a gate for services that draw them over time: github-action-benchmark, and Bencher.

Absolute times of shared runners spread by a quarter between jobs, so the ratio leads; where both are drawn,
the ratio is the one to set an alert on.
"""

import math
from typing import TYPE_CHECKING, Any

from recycle_pipeline.pipeline.wording import with_interval

if TYPE_CHECKING:
    from recycle_pipeline.evaluators.gate_report import GateReport
    from recycle_pipeline.evaluators.samples import Spread
    from recycle_pipeline.evaluators.slowdown import Judgement


def github_action_benchmark(report: "GateReport") -> list[dict[str, Any]]:
    """Of its tool `customSmallerIsBetter`: a list of name, unit, value, and where known range and extra."""
    name, found, (candidate, _) = report.candidate.name, report.latency, report.times
    extra = f"n = {found.n} blocks, {report.rounds} rounds; against {report.baseline['path']}"
    extra = "; ".join([extra, *report.notes])
    half = 100 * (found.bootstrap_high - found.bootstrap_low) / 2 / found.ratio
    return [
        {
            "name": f"{name}: latency, ratio to baseline",
            "unit": "ratio",
            "value": found.ratio,
            "range": f"± {half:.2f}% (95 % bootstrap)",
            "extra": extra,
        },
        {
            "name": f"{name}: latency",
            "unit": "ms",
            "value": candidate.value,
            "extra": f"{with_interval(candidate)} ms, 95 % over blocks; {extra}",
        },
        {"name": f"{name}: size", "unit": "bytes", "value": report.candidate.stat().st_size},
    ]


def bencher(report: "GateReport") -> dict[str, dict[str, dict[str, float]]]:
    """Bencher's metric format: benchmark, measure, value with its bounds. Latency is in ns, as there."""
    found, (candidate, _) = report.latency, report.times
    return {
        report.candidate.name: {
            "latency": _nanoseconds(candidate),
            "latency-ratio": _bounded(found),
            "file-size": {"value": float(report.candidate.stat().st_size)},
        }
    }


def _nanoseconds(found: "Spread") -> dict[str, float]:
    bounds = {"lower_value": found.low, "upper_value": found.high} if math.isfinite(found.high) else {}
    return {name: ms * 1e6 for name, ms in ({"value": found.value} | bounds).items()}


def _bounded(found: "Judgement") -> dict[str, float]:
    return {
        "value": found.ratio,
        "lower_value": found.bootstrap_low,
        "upper_value": found.bootstrap_high,
    }
