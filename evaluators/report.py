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
    """Numbers and verdicts of one exported model against its reference, over `n` images."""

    model: str
    provider: str
    threads: int
    n: int
    reference_accuracy: Accuracy
    accuracy: Accuracy
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
            "model": self.model,
            "provider": self.provider,
            "onnxruntime": self.machine.onnxruntime,
            "threads": self.threads,
            "n": self.n,
            "accuracy": {"reference": asdict(self.reference_accuracy), "model": asdict(self.accuracy)},
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
        "model": _samples(latency.model),
        "baseline": _samples(latency.baseline) if latency.baseline else None,
        "ratio": asdict(latency.ratio) if latency.ratio else None,
        "same_shapes": _samples(latency.same_shapes) if latency.same_shapes else None,
        "same_shapes_ratio": asdict(latency.same_shapes_ratio) if latency.same_shapes_ratio else None,
    }


def _samples(samples: LatencySamples) -> dict[str, Any]:
    return {
        "n": samples.n,
        "median_ms": samples.median,
        "p90_ms": samples.p90,
        "p99_ms": samples.p99,
        "spread": samples.spread,
        "warm_up_rounds": samples.warm_up_rounds,
        "settled": samples.settled,
        "samples_ms": list(samples.ms),
    }
