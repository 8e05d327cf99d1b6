"""What one gate found, as a value and as plain types for JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recycle_pipeline.evaluators.ab import Measured
from recycle_pipeline.evaluators.conditions import conditions
from recycle_pipeline.evaluators.files import described
from recycle_pipeline.evaluators.footprint import Memory
from recycle_pipeline.evaluators.gate_plan import Plan
from recycle_pipeline.evaluators.gates import Outcome, Verdict
from recycle_pipeline.evaluators.machine import describe
from recycle_pipeline.evaluators.samples import Spread, spread
from recycle_pipeline.evaluators.setting import TRANSFERS
from recycle_pipeline.evaluators.slowdown import Judgement

SCHEMA = 1


@dataclass(frozen=True, eq=False)
class GateReport:
    """Everything a gate found.

    Attributes:
        baseline: path, bytes and SHA-256 of it.
        candidate: its file.
        plan: how it was measured.
        measured: the blocks; their first two sessions are of `beside`.
        beside: what the candidate was timed beside: the baseline, or the reference of a stored one.
        memory: where it was asked for.
        verdicts: of each gate.
        notes: what a reader must know besides.
    """

    baseline: Mapping[str, Any]
    candidate: Path
    plan: Plan
    measured: Measured
    beside: str
    memory: Memory | None
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """Of all verdicts: failed before inconclusive before passed."""
        found = {verdict.outcome for verdict in self.verdicts}
        return "failed" if "failed" in found else "inconclusive" if "inconclusive" in found else "passed"

    @property
    def latency(self) -> Judgement:
        """Of the candidate to the baseline."""
        return self.measured.judgements["latency"]

    @property
    def times(self) -> tuple[Spread, Spread]:
        """Median ms of candidate, and of what it was timed beside, over blocks; one block bounds nothing."""
        logs = np.log([block.medians for block in self.measured.blocks])  # (blocks, 4)
        candidate, beside = (np.exp(logs[:, both].mean(axis=1)) for both in (slice(2, 4), slice(2)))
        return spread(candidate), spread(beside)

    @property
    def median_ms(self) -> tuple[float, float]:
        """The same without intervals."""
        candidate, beside = self.times
        return candidate.value, beside.value

    @property
    def rounds(self) -> int:
        """Over all blocks; each session ran once in each."""
        return sum(block.ns.shape[1] for block in self.measured.blocks)

    def to_json(self) -> dict[str, Any]:
        """Plain types; ratios are candidate over baseline. All raw samples are kept.

        A reader must refuse a `schema` that it does not know and may ignore keys that it does not know.
        """
        candidate, beside = self.times
        return {
            "schema": SCHEMA,
            "kind": "gate",
            "outcome": self.outcome,
            "baseline": dict(self.baseline),
            "candidate": described(self.candidate),
            "beside": self.beside,
            "plan": asdict(self.plan) | {"times": TRANSFERS[self.plan.setting.transfers]},
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
            "judgements": {
                name: asdict(found) | {"speed": found.speed}
                for name, found in self.measured.judgements.items()
            },
            "median_ms": {"candidate": _bounded(candidate), "beside": _bounded(beside)},
            "rounds": self.rounds,
            "memory": asdict(self.memory) if self.memory else None,
            "seconds": self.measured.seconds,
            "notes": list(self.notes),
            "machine": asdict(describe()),
            "conditions": asdict(conditions()),
            "blocks": [
                {
                    "created": block.created,
                    "settled": block.settled,
                    "load_s": block.load_s.tolist(),
                    "ns": block.ns.tolist(),
                }
                for block in self.measured.blocks
            ],
        }


def _bounded(found: Spread) -> dict[str, float | int | None]:
    """JSON has no infinity: ends that nothing bounds are null."""
    low, high = (found.low, found.high) if np.isfinite(found.high) else (None, None)
    return {"value": found.value, "low": low, "high": high, "n": found.n}
