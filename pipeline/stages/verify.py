"""Stage `verify`: the exported model under ONNX Runtime, against torch, labels and the dense twin."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recycle_pipeline.exporters.atomic import write_text
from recycle_pipeline.models.errors import CorruptArtefact
from recycle_pipeline.pipeline.forms import DENSE, FORMS
from recycle_pipeline.pipeline.manifest import read_manifest
from recycle_pipeline.pipeline.stages.stage import Context, Stage, arch_input, input_file
from recycle_pipeline.pipeline.stages.verify_subject import (
    BATCH_SIZE,
    TIMED_THREADS,
    Subject,
    opened_subject,
    torch_logits,
)
from recycle_pipeline.pipeline.stages.verify_summary import summary

if TYPE_CHECKING:
    from recycle_pipeline.evaluators.gates import Verdict
    from recycle_pipeline.evaluators.onnx_model import OnnxModel
    from recycle_pipeline.evaluators.verify import VerifyReport
    from recycle_pipeline.pipeline.rebuild import Rebuilt

LATENCY_SECONDS = 3.0


def _inputs(context: Context) -> dict[str, str]:
    folder = context.folder
    return {
        "ticket": input_file(context, folder.ticket, "pack"),
        **{
            "model" if form == DENSE else form: input_file(context, folder.model(form), "export")
            for form in _forms(context)
        },
        "data": context.images.digest(),
        "measured": _measured_by(context),
        **arch_input(context),
    }


def _measured_by(context: Context) -> str:
    """What latencies depend on besides files: they are not carried over from another machine or runtime."""
    from recycle_pipeline.evaluators.machine import describe
    from recycle_pipeline.evaluators.session import best_provider

    machine = describe()
    return f"{best_provider(context.config.provider)[0]}, onnxruntime {machine.onnxruntime}, {machine.cpu}"


def _outputs(context: Context) -> list[Path]:
    return [context.folder.verify]


def _work(context: Context) -> dict[str, Any]:
    from recycle_pipeline.evaluators.gates import raise_for

    folder = context.folder
    if "export" not in context.worked:
        _require_no_crash(context)
    subject = opened_subject(context)
    report = _report(context, subject)
    forms, verdicts = _judged_forms(context, subject)
    content = report.to_json() | {
        "model": folder.relative(subject.model.path),
        "provider_note": subject.note,
        "classes": list(context.images.classes),
        "forms": forms,
    }
    if effect := _statistics(context, subject):
        content["statistics"], verdict = effect
        verdicts = [*verdicts, verdict]
    write_text(folder.verify, json.dumps(content, indent=1) + "\n")
    raise_for([*report.verdicts, *verdicts])
    return summary(content)


def _require_no_crash(context: Context) -> None:
    """Models that this call did not write may be a stranger's."""
    from recycle_pipeline.evaluators.workers import require_no_crash

    models = [context.folder.model(form) for form in _forms(context)]
    require_no_crash([path for path in models if path.is_file()], "cpu", crashes_only=True)


def _report(context: Context, subject: Subject) -> "VerifyReport":
    """`onnx` against torch and labels, and its times beside the dense twin's."""
    from recycle_pipeline.evaluators.session import open_session
    from recycle_pipeline.evaluators.verify import LatencySettings, verify
    from recycle_pipeline.pipeline.dense_model import SHRUNK_FROM

    shrunk, provider = SHRUNK_FROM in subject.model.metadata, subject.provider
    with _twins(subject.rebuilt, subject.model, shrunk=shrunk) as (twin, shapes):
        return verify(
            subject.model,
            subject.reference,
            subject.fed,
            context.images.test_labels,
            batch_size=BATCH_SIZE,
            timed=subject.timed,
            baseline=open_session(twin, provider, TIMED_THREADS),
            same_shapes=open_session(shapes, provider, TIMED_THREADS) if shapes else None,
            latency=LatencySettings(seconds=LATENCY_SECONDS),
            limits=subject.limits,
        )


def _judged_forms(context: Context, subject: Subject) -> tuple[dict[str, Any], "list[Verdict]"]:
    from recycle_pipeline.pipeline.stages.verify_forms import Against, verify_forms

    folder, say = context.folder, partial(context.reporter.stage, "verify")
    return verify_forms(
        folder,
        _forms(context),
        Against(
            subject.reference,
            subject.model,
            subject.timed,
            subject.fed,
            context.images.test_labels,
            subject.limits,
            LATENCY_SECONDS,
        ),
        partial(_opened, subject.provider),
        BATCH_SIZE,
        lambda name: say(f"{folder.relative(folder.model(name))} against onnx"),
        lambda text: say(f"note: {text}"),
    )


def _statistics(context: Context, subject: Subject) -> "tuple[dict[str, Any], Verdict] | None":
    """What rounding batch norm's numbers did, where the ticket has them rounded and the search is there."""
    from recycle_pipeline.pipeline.rebuild import rebuild
    from recycle_pipeline.pipeline.stages.verify_statistics import statistics_bits, statistics_effect

    bits, searched = statistics_bits(subject.rebuilt.subnetwork), context.folder.searched
    if not bits or not searched.is_file():
        return None
    lossless = torch_logits(rebuild(searched, arch=subject.custom).network, subject.pixels)
    labels, most = context.images.test_labels, subject.limits.max_accuracy_drop
    return statistics_effect(bits, lossless, subject.reference, labels, most)


@contextmanager
def _twins(rebuilt: "Rebuilt", model: "OnnxModel", *, shrunk: bool) -> Iterator[tuple[Path, Path | None]]:
    """Files, for a while: the dense twin of the network, and where the model was shrunk its shapes' own."""
    from recycle_pipeline.exporters.onnx.twin import write_dense_twin
    from recycle_pipeline.pipeline.dense_model import write_whole_twin

    with tempfile.TemporaryDirectory() as scratch:
        twin, shapes = Path(scratch) / "dense-twin.onnx", Path(scratch) / "same-shapes.onnx"
        write_dense_twin(model.path, shapes if shrunk else twin)
        if shrunk:
            write_whole_twin(rebuilt, twin, embed_preprocessing=model.input_dtype == np.uint8)
        yield twin, shapes if shrunk else None


def _forms(context: Context) -> list[str]:
    """Those that the export wrote."""
    export = read_manifest(context.folder.manifest).stages.get("export")
    if export is None:
        return [DENSE]
    forms = export.facts.get("bytes")
    if not isinstance(forms, dict) or not forms or not forms.keys() <= FORMS.keys():
        raise CorruptArtefact(
            f"{context.folder.manifest} is damaged: the forms that were exported are {forms!r:.60}; "
            "export again"
        )
    return list(forms)


def _opened(provider: str, path: Path, threads: int | None, cpu_only: bool = False) -> "OnnxModel":
    from recycle_pipeline.evaluators.session import open_session

    return open_session(path, "cpu" if cpu_only else provider, threads)


VERIFY = Stage(
    "verify",
    schema=4,
    config_keys=(
        "provider",
        "max_difference",
        "min_agreement",
        "max_accuracy_drop",
        "min_top1",
        "max_slowdown",
    ),
    unsaid={"min_agreement": None},
    inputs=_inputs,
    outputs=_outputs,
    work=_work,
)
