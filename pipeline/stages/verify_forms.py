"""The forms besides `onnx` under ONNX Runtime: what each promises, judged against `onnx`."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from recycle_pipeline.exporters.atomic import write_text
from recycle_pipeline.pipeline.forms import DENSE, FORMS, Form
from recycle_pipeline.pipeline.run_folder import RunFolder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from recycle_pipeline.evaluators.arrays import Split
    from recycle_pipeline.evaluators.beside import LatencySettings
    from recycle_pipeline.evaluators.gates import Limits, Verdict
    from recycle_pipeline.evaluators.onnx_model import OnnxModel
    from recycle_pipeline.evaluators.verify import VerifyReport

# Matrices that are computed are not multiplied by the routine for constant ones: sums in another order.
UNFOLDED = (
    "this onnxruntime does not fold its unpacking away, as its constant folding is off or limited: it "
    "unpacks weights in every call, which is right to rounding, but slow"
)


class Open(Protocol):
    """Opens a model for logits, or with that many threads for timing; where asked, on the CPU."""

    def __call__(self, path: Path, threads: int | None, cpu_only: bool = False) -> "OnnxModel": ...


@dataclass(frozen=True)
class Against:
    """What forms are compared with.

    Attributes:
        torch_logits: (N, K), of the rebuilt network.
        dense: `onnx`, as opened for logits.
        timed: the same, as opened for timing.
        images: as the models take them.
        labels: (N,) classes.
        limits: of `onnx`, whose parity a form must have that promises no more than `onnx` does.
        latency: how to time each form, beside `onnx`.
    """

    torch_logits: "NDArray[np.float32]"
    dense: "OnnxModel"
    timed: "OnnxModel"
    images: "Split"
    labels: "NDArray[np.int64]"
    limits: "Limits"
    latency: "LatencySettings"


def verify_forms(
    folder: RunFolder,
    names: list[str],
    against: Against,
    open_: Open,
    batch_size: int,
    begins: Callable[[str], None],
    warn: Callable[[str], None],
) -> tuple[dict[str, Any], list["Verdict"]]:
    """Judges forms, and moves those that break their promise to `rejected/`, with the reason beside them.

    Args:
        folder: with the exported forms.
        names: of the forms, in order.
        against: what they are compared with.
        open_: how models are opened.
        batch_size: images per call.
        begins: told the name of each form before its turn.
        warn: told what a user should know of a form.

    Returns:
        What was found of each form, plain types; and the verdicts of all, each with its form's name.
    """
    from recycle_pipeline.evaluators.accuracy import predict_all

    others = [name for name in names if name != DENSE]
    if not others:
        return {}, []
    dense_logits = predict_all(against.dense.predict, against.images, batch_size)
    found, verdicts, on_cpu = {}, list["Verdict"](), None
    for name in others:
        begins(name)
        form, model, refused = _opened(FORMS[name], folder.model(name), open_)
        exact = form.exact and not model.unpacks_in_every_call
        if refused and on_cpu is None:  # other kernels have sums in another order
            on_cpu = predict_all(open_(against.dense.path, None, True).predict, against.images, batch_size)
        expected = on_cpu if refused and on_cpu is not None else dense_logits
        report = _report(form, model, against, expected, open_, batch_size, exact=exact)
        judged = [dataclasses.replace(v, sentence=f"{name}: {v.sentence}") for v in report.verdicts]
        found[name] = _entry(form, folder, report, exact=exact) | {"provider": model.provider}
        if notes := [refused] * bool(refused) + [UNFOLDED] * model.unpacks_in_every_call:
            found[name]["note"] = "; ".join(notes)
            warn(f"{name}: {found[name]['note']}")
        verdicts += judged
        if not report.passed:
            found[name]["rejected"] = _reject(folder, name, judged)
    return found, verdicts


def _opened(form: Form, path: Path, open_: Open) -> tuple[Form, "OnnxModel", str]:
    """The form, of the CPU alone where the provider cannot run all of it; it opened; and why not there."""
    from recycle_pipeline.models.errors import ProviderUnavailable

    try:
        return form, open_(path, None, form.cpu_only), ""
    except ProviderUnavailable as error:
        on_cpu = dataclasses.replace(form, cpu_only=True)
        reason, _, _ = str(error).partition(". Usable here")
        return on_cpu, open_(path, None, cpu_only=True), f"verified on the CPU: {reason}"


def _report(
    form: Form,
    model: "OnnxModel",
    against: Against,
    dense_logits: "NDArray[np.float32]",
    open_: Open,
    batch_size: int,
    *,
    exact: bool,
) -> "VerifyReport":
    from recycle_pipeline.evaluators.gates import Limits
    from recycle_pipeline.evaluators.verify import verify

    if exact:
        limits, reference = Limits(max_difference=0.0), dense_logits
    elif form.accuracy_drop is not None:
        limits = Limits(max_difference=None, max_accuracy_drop=form.accuracy_drop)
        reference = dense_logits
    else:
        onnx = against.limits
        limits = Limits(max_difference=onnx.max_difference, min_agreement=onnx.min_agreement)
        reference = against.torch_logits
    timed, baseline = open_(model.path, against.timed.threads, form.cpu_only), against.timed
    if baseline.provider != timed.provider:
        baseline = open_(against.dense.path, against.timed.threads, form.cpu_only)
    return verify(
        model,
        reference,
        against.images,
        against.labels,
        batch_size=batch_size,
        timed=timed,
        baseline=baseline,
        latency=against.latency,
        limits=limits,
    )


def _entry(form: Form, folder: RunFolder, report: "VerifyReport", *, exact: bool) -> dict[str, Any]:
    from recycle_pipeline.evaluators.report import samples_json
    from recycle_pipeline.evaluators.speed import speed_of

    size, dense = (folder.model(name).stat().st_size for name in (form.name, DENSE))
    latency = report.latency
    assert latency is not None and latency.ratio is not None and latency.baseline is not None
    return {
        "file": folder.relative(folder.model(form.name)),
        "bytes": size,
        "share_of_dense": size / dense,
        "compared_with": DENSE if exact or form.accuracy_drop is not None else "torch",
        "exact": exact,
        "max_difference": report.parity.max_difference,
        "top1_agreement": report.parity.top1_agreement,
        "top1": report.accuracy.top1,
        "top5": dataclasses.asdict(report.top5),
        "per_class": [each and dataclasses.asdict(each) for each in report.per_class],
        "latency": (own := samples_json(latency.model)),
        "latency_ms": own["median_ms"],
        "latency_low_ms": own["median_low_ms"],
        "latency_high_ms": own["median_high_ms"],
        "dense_ms": samples_json(latency.baseline)["median_ms"],
        "latency_ratio": dataclasses.asdict(latency.ratio),
        "speed": speed_of(latency.ratio.low, latency.ratio.high),
        "runtime": report.metadata.get("onnxruntime", ""),
        "needs": form.needs,
        "verdicts": [dataclasses.asdict(verdict) for verdict in report.verdicts],
    }


def _reject(folder: RunFolder, name: str, verdicts: list["Verdict"]) -> str:
    """Moves a form's file away; returns where."""
    source = folder.model(name)
    target = folder.rejected / source.name
    target.parent.mkdir(parents=True, exist_ok=True)
    reasons = [v.sentence for v in verdicts if v.outcome not in ("passed", "not-asked")]
    write_text(target.with_suffix(".txt"), "\n".join(reasons) + "\n")
    source.replace(target)
    return folder.relative(target)
