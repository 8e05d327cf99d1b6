"""The gate as a whole: a baseline that is a model or a file of numbers, and accuracy where data are given."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from recycle_pipeline.exporters.atomic import write_text
from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.scoring import Data, score_models

if TYPE_CHECKING:
    from recycle_pipeline.evaluators.ab import Say
    from recycle_pipeline.evaluators.gate_plan import Increases, Plan
    from recycle_pipeline.evaluators.gate_report import GateReport
    from recycle_pipeline.evaluators.gates import Limits, Verdict
    from recycle_pipeline.evaluators.stored import Stored


def silent(found: object) -> None:
    """Says nothing."""


@dataclass(frozen=True)
class Request:
    """What a gate is asked.

    Attributes:
        candidate: ONNX file to judge.
        baseline: ONNX file, or a `.json` that `store_baseline` wrote.
        increases: what passes.
        plan: how to measure.
        limits: of accuracy and parity; they need `data`.
        reference: what a stored baseline was timed beside; None takes the one that comes with the tool.
        data: images for accuracy; None leaves it out.
    """

    candidate: Path
    baseline: Path
    increases: "Increases"
    plan: "Plan"
    limits: "Limits"
    reference: Path | None = None
    data: Data | None = field(default=None)


def run_gate(request: Request, say: "Say" = silent) -> "GateReport":
    """Measures and judges.

    Raises:
        UsageFault: files that are not there, or requests that do not fit together.
        CorruptArtefact: a file that cannot be read.
        RecycleError: a model that cannot be run.
    """
    from recycle_pipeline.evaluators.gate import gate, gate_stored
    from recycle_pipeline.evaluators.stored_file import read_stored

    stored = read_stored(request.baseline) if request.baseline.suffix == ".json" else None
    more = _accuracy(request, stored)
    if stored is None:
        return gate(request.baseline, request.candidate, request.increases, request.plan, more=more, say=say)
    with reference_model(request.reference) as reference:
        return gate_stored(
            stored, reference, request.candidate, request.increases, request.plan, more=more, say=say
        )


def store_baseline(
    model: Path, target: Path, plan: "Plan", reference: Path | None, say: "Say" = silent
) -> "Stored":
    """Measures a model beside a reference, and writes the numbers for gates elsewhere.

    Raises:
        UsageFault: a file that is not there.
        RecycleError: a model that cannot be opened or run.
        OSError: the target cannot be written.
    """
    from recycle_pipeline.evaluators.gate import store

    with reference_model(reference) as path:
        stored = store(model, path, plan, say=say)
    write_text(target, json.dumps(stored.to_json(), indent=1) + "\n")
    return stored


@contextmanager
def reference_model(given: Path | None) -> Iterator[Path]:
    """The reference that was given, or the one of the tool, for a while."""
    from recycle_pipeline.exporters.onnx.reference import write_reference

    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "reference.onnx"
        write_reference(path)
        yield path


def _accuracy(request: Request, stored: "Stored | None") -> list["Verdict"]:
    """Verdicts on the candidate's accuracy, against the baseline's where that is a model."""
    limits = request.limits
    compared = {"max_difference": limits.max_difference, "max_accuracy_drop": limits.max_accuracy_drop}
    asked = [name for name, limit in (compared | {"min_top1": limits.min_top1}).items() if limit is not None]
    if not asked:
        return []
    if request.data is None:
        raise UsageFault(f"{', '.join(asked)} was asked for without images; give --data, such as digits.")
    if stored and (first := next((name for name in asked if name in compared), None)):
        raise UsageFault(
            f"{first} compares with the baseline's logits, and {request.baseline} holds none; give the "
            "baseline as a model, or gate on --min-top1."
        )
    paths = [request.candidate] if stored else [request.baseline, request.candidate]
    table = score_models(paths, request.data, request.plan.setting.provider, limits, compare_first=True)
    return [verdict for verdict in table.rows[-1].verdicts if verdict.outcome != "not-asked"]
