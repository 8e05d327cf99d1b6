"""The gate: a candidate against its baseline, in one job; or against numbers, beside a reference model."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np

from recycle_pipeline.evaluators import gates
from recycle_pipeline.evaluators.ab import Judge, Measured, Quantity, Say, measure_until_clear
from recycle_pipeline.evaluators.blocks import Blocks, Contrast, twice
from recycle_pipeline.evaluators.files import described, file_bytes
from recycle_pipeline.evaluators.footprint import Memory, memory_of, memory_verdict
from recycle_pipeline.evaluators.gate_plan import Increases, Plan
from recycle_pipeline.evaluators.gate_report import GateReport
from recycle_pipeline.evaluators.gates import Verdict
from recycle_pipeline.evaluators.machine import describe
from recycle_pipeline.evaluators.slowdown import Judgement, judge
from recycle_pipeline.evaluators.stored import Stored, judge_apart
from recycle_pipeline.models.errors import UsageFault

NAMES: dict[Quantity, str] = {"latency": "max_slowdown", "load": "max_load_increase"}
STORED_TO = 0.01  # half-width of the interval that a stored baseline is measured down to, where there is time


def gate(
    baseline: Path,
    candidate: Path,
    increases: Increases,
    plan: Plan,
    *,
    more: Sequence[Verdict] = (),
    say: Say = lambda _: None,
) -> GateReport:
    """Measures a candidate beside its baseline and judges it.

    Args:
        baseline, candidate: ONNX files.
        increases: what passes.
        plan: how to measure.
        more: verdicts that were reached before, such as of accuracy.
        say: told after each block what the blocks say so far.

    Raises:
        UsageFault: a file that is not there, or a plan that cannot be carried out.
        RecycleError: a model that cannot be opened or run.
    """
    _require(baseline, candidate)
    judges: dict[Quantity, Judge] = {
        name: partial(judge, limit=limit, alpha=plan.alpha) for name, limit in _limits(increases).items()
    }
    measured = _measure(baseline, candidate, judges, plan, say)
    memory = None
    if increases.memory is not None:
        memory = Memory(memory_of(baseline, plan.setting), memory_of(candidate, plan.setting))
    sizes = file_bytes(baseline), file_bytes(candidate)
    verdicts = _verdicts(measured, sizes, memory, increases)
    return GateReport(
        described(baseline), candidate, plan, measured, "the baseline", memory, (*more, *verdicts)
    )


def gate_stored(
    stored: Stored,
    reference: Path,
    candidate: Path,
    increases: Increases,
    plan: Plan,
    *,
    more: Sequence[Verdict] = (),
    say: Say = lambda _: None,
) -> GateReport:
    """The same against a stored baseline: the candidate is measured beside the reference that it was.

    Raises:
        UsageFault: a file that is not there, another reference, or another setting than the stored one.
        RecycleError: a model that cannot be opened or run.
    """
    _require(reference, candidate)
    _require_comparable(stored, reference, plan)
    judges: dict[Quantity, Judge] = {
        name: _against(stored.contrasts[name], limit, plan.alpha)
        for name, limit in _limits(increases).items()
    }
    measured = _measure(reference, candidate, judges, plan, say)
    memory = None
    if increases.memory is not None:
        memory = Memory(stored.memory, memory_of(candidate, plan.setting))
    verdicts = _verdicts(measured, (stored.model["bytes"], file_bytes(candidate)), memory, increases)
    beside = f"the reference {stored.reference['sha256'][:12]}"
    return GateReport(
        stored.model, candidate, plan, measured, beside, memory, (*more, *verdicts), _notes(stored)
    )


def store(model: Path, reference: Path, plan: Plan, *, say: Say = lambda _: None) -> Stored:
    """Measures a model beside a reference until its interval is within 1 %, or the time is over.

    Raises:
        UsageFault: a file that is not there, or a plan that cannot be carried out.
        RecycleError: a model that cannot be opened or run.
    """
    _require(model, reference)
    measured = _measure(reference, model, {"latency": partial(_narrow, alpha=plan.alpha / 2)}, plan, say)
    medians = np.array([block.medians for block in measured.blocks])  # (blocks, 4) ms
    here = describe()
    return Stored(
        model=described(model),
        reference=described(reference),
        setting=plan.setting,
        contrasts={str(name): some for name, some in measured.contrasts.items()},
        median_ms=(float(np.median(medians[:, 2:])), float(np.median(medians[:, :2]))),
        memory=memory_of(model, plan.setting),
        machine=(here.cpu, here.onnxruntime),
        date=date.today().isoformat(),
    )


def _measure(beside: Path, candidate: Path, judges: dict[Quantity, Judge], plan: Plan, say: Say) -> Measured:
    rng = np.random.default_rng(plan.seed)
    blocks = Blocks(twice(beside, candidate), plan.setting, rng, plan.isolation, plan.core)
    return measure_until_clear(blocks, judges, seconds=plan.seconds, say=say)


def _against(stored: list[Contrast], limit: float, alpha: float) -> Judge:
    return lambda here: judge_apart(stored, here, limit, alpha)


def _narrow(contrasts: list[Contrast], alpha: float) -> Judgement:
    """Inconclusive until the interval is narrow enough to be stored."""
    found = judge(contrasts, 1.0, alpha)
    wide = found.low is None or found.high is None or found.high / found.low > (1 + STORED_TO) ** 2
    return replace(found, outcome="inconclusive" if wide else "pass")


def _limits(increases: Increases) -> dict[Quantity, float]:
    limits: dict[Quantity, float] = {"latency": 1 + increases.slowdown}
    return limits if increases.load is None else limits | {"load": 1 + increases.load}


def _verdicts(
    measured: Measured, sizes: tuple[int, int], memory: Memory | None, increases: Increases
) -> list[Verdict]:
    found = [gates.max_increase(NAMES[name], each) for name, each in measured.judgements.items()]
    if increases.size is not None:
        found.append(gates.max_size_increase(*sizes, increases.size))
    if memory and increases.memory is not None:
        found.append(memory_verdict(memory, increases.memory))
    return found


def _notes(stored: Stored) -> tuple[str, ...]:
    here = describe()
    names, now = ("PROCESSOR", "VERSION OF ONNX RUNTIME"), (here.cpu, here.onnxruntime)
    other = [
        f"ANOTHER {name}" for name, one, was in zip(names, now, stored.machine, strict=True) if one != was
    ]
    return (
        f"the baseline is stored: {stored.date}, {stored.machine[0]}, ONNX Runtime {stored.machine[1]}; here "
        f"{now[0]}, ONNX Runtime {now[1]} ({' and '.join(other) or 'the same names, another job'}). Both "
        "models were compared through a reference model timed beside each; that is as good as both machines "
        "favour the same operators alike, which no interval here covers.",
    )


def _require(*paths: Path) -> None:
    for path in paths:
        if not path.is_file():
            raise UsageFault(f"{path} is no file. Give the path of an ONNX file, as `export` writes it.")


def _require_comparable(stored: Stored, reference: Path, plan: Plan) -> None:
    if plan.setting != stored.setting:
        raise UsageFault(
            f"the baseline was stored with {stored.setting}, and {plan.setting} was asked for; expected the "
            "same."
        )
    if described(reference)["sha256"] != stored.reference["sha256"]:
        raise UsageFault(
            f"{reference} is not what the baseline was timed beside ({stored.reference['path']}, "
            f"SHA-256 {stored.reference['sha256'][:12]}...); give that one by --reference."
        )
