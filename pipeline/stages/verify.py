"""Stage `verify`: the exported model under ONNX Runtime, against torch, labels and the dense twin."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recycle_pipeline.exporters.atomic import write_text
from recycle_pipeline.models.errors import CorruptArtefact
from recycle_pipeline.pipeline.forms import DENSE, FORMS
from recycle_pipeline.pipeline.manifest import file_digest, read_manifest
from recycle_pipeline.pipeline.stages.rejecting import PROMISED, kept, rejecting_onnx, settle
from recycle_pipeline.pipeline.stages.stage import Context, Stage, arch_input, input_file
from recycle_pipeline.pipeline.stages.verify_further import further_latencies
from recycle_pipeline.pipeline.stages.verify_subject import (
    BATCH_SIZE,
    Subject,
    opened_subject,
    torch_logits,
)
from recycle_pipeline.pipeline.stages.verify_summary import summary
from recycle_pipeline.pipeline.stages.verify_twins import twins

if TYPE_CHECKING:
    from recycle_pipeline.evaluators.gates import Verdict
    from recycle_pipeline.evaluators.onnx_model import OnnxModel
    from recycle_pipeline.evaluators.verify import VerifyReport
    from recycle_pipeline.models.errors import CrashingModel
    from recycle_pipeline.pipeline.stages.verify_forms import Judged

LATENCY_SECONDS = 3.0


def _inputs(context: Context) -> dict[str, str]:
    folder = context.folder
    return {
        "ticket": input_file(context, folder.ticket, "pack"),
        **{
            "model" if form == DENSE else form: input_file(context, folder.lying(form), "export")
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

    folder, names = context.folder, _forms(context)
    crashing = {} if "export" in context.worked else _crashing(context, names)
    digests = {name: file_digest(folder.lying(name)) for name in names}
    with rejecting_onnx(folder):
        if error := crashing.get(folder.lying(DENSE)):
            raise error
    subject = opened_subject(context)
    with rejecting_onnx(folder):
        report = _report(context, subject)
    promised = [verdict for verdict in report.verdicts if verdict.name in PROMISED]
    try:
        judged = _judged_forms(context, subject, sound=kept(promised), crashing=crashing)
        further = further_latencies(context, subject, _sound(subject, judged, promised))
    finally:  # last, as the others are timed beside it
        rejected = settle(folder, DENSE, promised)
    content = report.to_json() | {
        "model": folder.relative(folder.model(DENSE)),
        "provider_note": subject.note,
        "classes": list(context.images.classes),
        "forms": judged.forms,
        "sha256": digests,
        **({"rejected": rejected} if rejected else {}),
        **({"unmeasured": judged.unmeasured} if judged.unmeasured else {}),
        **({"further_latencies": further} if further else {}),
    }
    verdicts = [*report.verdicts, *judged.verdicts]
    if effect := _statistics(context, subject):
        content["statistics"], verdict = effect
        verdicts.append(verdict)
    write_text(folder.verify, json.dumps(content, indent=1) + "\n")
    raise_for(verdicts)
    return summary(content)


def _crashing(context: Context, names: list[str]) -> "dict[Path, CrashingModel]":
    """Models that this call did not write may be a stranger's, and end the process that opens them."""
    from recycle_pipeline.evaluators.workers import crashing

    paths = {name: context.folder.lying(name) for name in names}
    told = {name: FORMS[name].exact_told for name in names}
    return crashing(list(paths.values()), "cpu", {paths[n]: dict([t]) for n, t in told.items() if t})


def _sound(subject: Subject, judged: "Judged", promised: "Sequence[Verdict]") -> dict[str, str]:
    """The forms that kept their promise, and the provider of each."""
    onnx = {DENSE: subject.provider} if kept(promised) else {}
    found = judged.forms.items()
    return onnx | {name: entry["provider"] for name, entry in found if "rejected" not in entry}


def _report(context: Context, subject: Subject) -> "VerifyReport":
    """`onnx` against torch and labels, and its times beside the dense twin's."""
    from recycle_pipeline.evaluators.beside import LatencySettings
    from recycle_pipeline.evaluators.session import open_session
    from recycle_pipeline.evaluators.verify import verify

    provider = subject.provider
    with twins(subject.rebuilt, subject.model) as (twin, shapes):
        return verify(
            subject.model,
            subject.reference,
            subject.fed,
            context.images.test_labels,
            batch_size=BATCH_SIZE,
            timed=subject.timed,
            baseline=open_session(twin, provider, subject.timed.threads),
            same_shapes=open_session(shapes, provider, subject.timed.threads) if shapes else None,
            latency=LatencySettings(seconds=LATENCY_SECONDS, batch=context.config.timed_batch[0]),
            limits=subject.limits,
        )


def _judged_forms(
    context: Context, subject: Subject, *, sound: bool, crashing: "Mapping[Path, CrashingModel]"
) -> "Judged":
    from recycle_pipeline.evaluators.beside import LatencySettings
    from recycle_pipeline.pipeline.stages.verify_forms import Against, verify_forms

    folder, say = context.folder, partial(context.reporter.stage, "verify")
    against = "onnx" if sound else "torch, as onnx is wrong"
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
            LatencySettings(seconds=LATENCY_SECONDS, batch=context.config.timed_batch[0]),
            sound,
            crashing,
        ),
        partial(_opened, subject.provider),
        BATCH_SIZE,
        lambda name: say(f"{folder.relative(folder.lying(name))} against {against}"),
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


def _opened(
    provider: str,
    path: Path,
    threads: int | None,
    cpu_only: bool = False,
    entries: Mapping[str, str] | None = None,
) -> "OnnxModel":
    from recycle_pipeline.evaluators.session import open_session

    return open_session(path, "cpu" if cpu_only else provider, threads, entries)


VERIFY = Stage(
    "verify",
    schema=6,
    config_keys=(
        "provider",
        "max_difference",
        "min_agreement",
        "max_accuracy_drop",
        "min_top1",
        "max_slowdown",
        "timed_batch",
        "timed_threads",
    ),
    unsaid={"min_agreement": None, "timed_batch": [1], "timed_threads": [1]},
    inputs=_inputs,
    outputs=_outputs,
    work=_work,
)
