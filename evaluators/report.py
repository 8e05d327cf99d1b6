"""What one verification found, as a value and as plain types for JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from recycle_pipeline.evaluators.accuracy import Accuracy
from recycle_pipeline.evaluators.gates import Verdict
from recycle_pipeline.evaluators.machine import Machine
from recycle_pipeline.evaluators.parity import Parity
from recycle_pipeline.evaluators.samples import LatencySamples, RatioInterval

SCHEMA = 1


@dataclass(frozen=True)
class Latency:
    """Times of the model, and of others in the same rounds: `batch` images a call, fixed `threads`.

    `baseline` is the dense network that the model stands for, `same_shapes` the model's own graph with
    nothing pruned where that is another; each with the ratio of the model to it.
    """

    batch: int
    threads: int
    model: LatencySamples
    baseline: LatencySamples | None
    ratio: RatioInterval | None
    same_shapes: LatencySamples | None = None
    same_shapes_ratio: RatioInterval | None = None


@dataclass(frozen=True)
class VerifyReport:
    """Numbers and verdicts of one exported model against its reference, over `n` images.

    `top5` and `per_class` are the model's; None for a class without images.
    """

    model: str
    provider: str
    threads: int
    n: int
    reference_accuracy: Accuracy
    accuracy: Accuracy
    top5: Accuracy
    per_class: tuple[Accuracy | None, ...]
    parity: Parity
    latency: Latency | None
    verdicts: tuple[Verdict, ...]
    machine: Machine
    metadata: Mapping[str, str]

    @property
    def passed(self) -> bool:
        """No gate failed and none was inconclusive."""
        return all(verdict.outcome in ("passed", "not-asked") for verdict in self.verdicts)

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and finite numbers; units are in the names.

        A reader must refuse a `schema` that it does not know and may ignore keys that it does not know.
        """
        return {
            "schema": SCHEMA,
            "kind": "verify",
            "model": self.model,
            "provider": self.provider,
            "onnxruntime": self.machine.onnxruntime,
            "threads": self.threads,
            "n": self.n,
            "accuracy": {"reference": asdict(self.reference_accuracy), "model": asdict(self.accuracy)},
            "top5": asdict(self.top5),
            "per_class": [each and asdict(each) for each in self.per_class],
            "parity": asdict(self.parity),
            "latency": _latency(self.latency) if self.latency else None,
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
            "passed": self.passed,
            "machine": asdict(self.machine) | {"gpus": list(self.machine.gpus)},
            "metadata": dict(self.metadata),
        }


def _latency(latency: Latency) -> dict[str, Any]:
    return {
        "batch": latency.batch,
        "threads": latency.threads,
        "model": samples_json(latency.model),
        "baseline": samples_json(latency.baseline) if latency.baseline else None,
        "ratio": asdict(latency.ratio) if latency.ratio else None,
        "same_shapes": samples_json(latency.same_shapes) if latency.same_shapes else None,
        "same_shapes_ratio": asdict(latency.same_shapes_ratio) if latency.same_shapes_ratio else None,
    }


def samples_json(samples: LatencySamples) -> dict[str, Any]:
    """Plain types. The median is over sessions, with its 95 % interval, where there were several.

    Ratios are over the same pairs of sessions: a ratio is that of two such medians.
    """
    over = samples.over_sessions
    return {
        "n": samples.n,
        "median_ms": over.value if over else samples.median,
        "median_low_ms": over.low if over else None,
        "median_high_ms": over.high if over else None,
        "sessions": max(len(samples.session_medians), 1),
        "session_medians_ms": list(samples.session_medians) or [samples.median],
        "p90_ms": samples.p90,
        "p95_ms": samples.p95,
        "p99_ms": samples.p99,
        "spread": samples.spread,
        "warm_up_rounds": samples.warm_up_rounds,
        "settled": samples.settled,
        "samples_ms": list(samples.ms),
    }
