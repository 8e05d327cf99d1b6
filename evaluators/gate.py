"""The gate: a candidate against its baseline, timed in one job, with size, load time, memory and accuracy."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recycle_pipeline.evaluators import gates, machine
from recycle_pipeline.evaluators.ab import Measured, Quantity, Say, compare
from recycle_pipeline.evaluators.blocks import Blocks, Isolation, twice
from recycle_pipeline.evaluators.conditions import conditions
from recycle_pipeline.evaluators.files import described, file_bytes
from recycle_pipeline.evaluators.footprint import Memory, measure_memory
from recycle_pipeline.evaluators.gates import Verdict
from recycle_pipeline.evaluators.setting import TRANSFERS, Setting
from recycle_pipeline.models.errors import UsageFault

SCHEMA = 1


@dataclass(frozen=True)
class Increases:
    """The largest increase that passes, a fraction of the baseline's; None leaves a gate out.

    Latency is always judged: it is what the time is spent on.

    Raises:
        UsageFault: an increase of -1 or less, or no finite number.
    """

    slowdown: float = 0.05
    load: float | None = None
    size: float | None = None
    memory: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not -1 < value < float("inf"):
                raise UsageFault(f"the limit of {name}, {value:g}, is no increase; expected such as 0.05.")


@dataclass(frozen=True)
class Plan:
    """How a gate measures.

    Attributes:
        setting: how the models are run.
        isolation: see `Blocks`.
        core: the one core to use, None for any.
        alpha: chance of a wrong verdict about one quantity.
        seconds: time budget of the timing.
        seed: of all orders.
    """

    setting: Setting = field(default_factory=Setting)
    isolation: Isolation = "block"
    core: int | None = None
    alpha: float = 0.01
    seconds: float = 60.0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class GateReport:
    """Everything a gate found."""

    baseline: Path
    candidate: Path
    plan: Plan
    measured: Measured
    memory: Memory | None
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...] = ()

    @property
    def outcome(self) -> str:
        """Of all verdicts: failed before inconclusive before passed."""
        found = {verdict.outcome for verdict in self.verdicts}
        return next((each for each in ("failed", "inconclusive") if each in found), "passed")

    def to_json(self) -> dict[str, Any]:
        """Plain types; ratios are candidate over baseline. All raw samples are kept."""
        return {
            "schema": SCHEMA,
            "kind": "gate",
            "outcome": self.outcome,
            "baseline": described(self.baseline),
            "candidate": described(self.candidate),
            "plan": asdict(self.plan) | {"times": TRANSFERS[self.plan.setting.transfers]},
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
            "judgements": {
                name: asdict(found) | {"speed": found.speed}
                for name, found in self.measured.judgements.items()
            },
            "memory": asdict(self.memory) if self.memory else None,
            "seconds": self.measured.seconds,
            "notes": list(self.notes),
            "machine": asdict(machine.describe()),
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


def gate(
    baseline: Path,
    candidate: Path,
    increases: Increases,
    plan: Plan | None = None,
    *,
    say: Say = lambda _: None,
    begins: Callable[[str], None] = lambda _: None,
) -> GateReport:
    """Measures a candidate beside its baseline and judges it.

    Args:
        baseline, candidate: ONNX files.
        increases: what passes.
        plan: how to measure.
        say: told after each block what the blocks say so far.
        begins: told what is measured next.

    Raises:
        UsageFault: a file that is not there, or a plan that cannot be carried out.
        RecycleError: a model that cannot be opened or run.
    """
    plan = plan or Plan()
    for path in (baseline, candidate):
        if not path.is_file():
            raise UsageFault(f"{path} is no file. Give the path of an ONNX file, as `export` writes it.")
    limits: dict[Quantity, float] = {"latency": 1 + (increases.slowdown)}
    if increases.load is not None:
        limits["load"] = 1 + increases.load
    rng = np.random.default_rng(plan.seed)
    blocks = Blocks(twice(baseline, candidate), plan.setting, rng, plan.isolation, plan.core)
    begins("latency")
    measured = compare(blocks, limits, alpha=plan.alpha, seconds=plan.seconds, say=say)
    memory = None
    if increases.memory is not None:
        begins("memory")
        memory = measure_memory(baseline, candidate, plan.setting, rng)
    verdicts = (
        gates.max_increase("max_slowdown", measured.judgements["latency"]),
        *([gates.max_increase("max_load_increase", measured.judgements["load"])] if "load" in limits else []),
        *_size(baseline, candidate, increases.size),
        *([memory.verdict(increases.memory)] if memory and increases.memory is not None else []),
    )
    return GateReport(baseline, candidate, plan, measured, memory, verdicts)


def _size(baseline: Path, candidate: Path, limit: float | None) -> list[Verdict]:
    if limit is None:
        return []
    sizes = file_bytes(candidate), file_bytes(baseline)
    ratio = sizes[0] / sizes[1]
    sentence = f"{sizes[0]:,} bytes, {ratio:.4f} of the baseline's {sizes[1]:,}; the limit is {1 + limit:.4f}"
    passed = sizes[0] <= sizes[1] * (1 + limit)
    return [Verdict("max_size_increase", "passed" if passed else "failed", ratio, 1 + limit, sentence)]
