"""The forms besides `onnx` under ONNX Runtime: what each promises, judged against `onnx`."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from recycle_pipeline.models.errors import CrashingModel, RecycleError
from recycle_pipeline.pipeline.forms import DENSE, FORMS, Form
from recycle_pipeline.pipeline.run_folder import RunFolder
from recycle_pipeline.pipeline.stages.rejecting import named, settle, unmeasured

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

WIDENED = (
    "computed in float32 here: ONNX Runtime's CPU provider widens float16, and does not see what overflows "
    "within"
)


class Open(Protocol):
    """Opens a model for logits, or with that many threads for timing; where asked, on the CPU.

    `entries` are more of ONNX Runtime's configuration of a session.
    """

    def __call__(
        self,
        path: Path,
        threads: int | None,
        cpu_only: bool = False,
        entries: Mapping[str, str] | None = None,
    ) -> "OnnxModel": ...


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
        sound: whether `onnx` has torch's logits; where not, forms are held to torch's, as it was.
        crashing: files that cannot be opened without ending this process, and the error that says so.
    """

    torch_logits: "NDArray[np.float32]"
    dense: "OnnxModel"
    timed: "OnnxModel"
    images: "Split"
    labels: "NDArray[np.int64]"
    limits: "Limits"
    latency: "LatencySettings"
    sound: bool = True
    crashing: Mapping[Path, CrashingModel] = field(default_factory=dict)


@dataclass
class Judged:
    """What was found of the forms.

    Attributes:
        forms: by name, plain types; of those that could be measured.
        unmeasured: the same, of those that cannot be opened or give no logits.
        verdicts: of all, each with its form's name.
    """

    forms: dict[str, Any] = field(default_factory=dict)
    unmeasured: dict[str, Any] = field(default_factory=dict)
    verdicts: list["Verdict"] = field(default_factory=list)


def verify_forms(
    folder: RunFolder,
    names: list[str],
    against: Against,
    open_: Open,
    batch_size: int,
    begins: Callable[[str], None],
    warn: Callable[[str], None],
) -> Judged:
    """Judges forms, and moves those that break their promise to `rejected/`, with the reason beside them.

    One that lies there from before is judged as well, and moved back where it keeps its promise now.

    Args:
        folder: with the exported forms.
        names: of the forms, in order.
        against: what they are compared with.
        open_: how models are opened.
        batch_size: images per call.
        begins: told the name of each form before its turn.
        warn: told what a user should know of a form.

    Raises:
        RecycleError: a form cannot be judged, and is not at fault; those before it were.
    """
    judged, references = Judged(), _References(against, open_, batch_size)
    for name in names:
        if name == DENSE:
            continue
        begins(name)
        try:
            entry, verdicts = _judge(FORMS[name], folder, references, warn)
            judged.forms[name] = entry
        except RecycleError as error:
            verdicts = [unmeasured(name, error)]
            entry = {"file": folder.relative(folder.model(name)), "verdicts": [asdict(v) for v in verdicts]}
            judged.unmeasured[name] = entry
        if moved := settle(folder, name, verdicts):
            entry["rejected"] = moved
        judged.verdicts += verdicts
    return judged


class _References:
    """What forms are held to, computed when the first of them asks."""

    def __init__(self, against: Against, open_: Open, batch_size: int) -> None:
        self.against, self.open, self.batch_size = against, open_, batch_size

    @cached_property
    def onnx(self) -> "NDArray[np.float32]":
        """Logits of `onnx`: (N, K)."""
        return self.logits(self.against.dense)

    @cached_property
    def onnx_on_cpu(self) -> "NDArray[np.float32]":
        """The same on the CPU, whose kernels have sums in another order."""
        return self.logits(self.open(self.against.dense.path, None, True))

    def logits(self, model: "OnnxModel") -> "NDArray[np.float32]":
        """(N, K), of a model."""
        from recycle_pipeline.evaluators.accuracy import predict_all

        return predict_all(model.predict, self.against.images, self.batch_size)

    def of(self, *, on_cpu: bool) -> "NDArray[np.float32]":
        """Logits of `onnx` where a form is judged."""
        return self.onnx_on_cpu if on_cpu else self.onnx


def _judge(
    form: Form, folder: RunFolder, references: _References, warn: Callable[[str], None]
) -> tuple[dict[str, Any], list["Verdict"]]:
    """What was found of a form, and its verdicts. Raises RecycleError where nothing can be."""
    path = folder.lying(form.name)
    if path in references.against.crashing:
        raise references.against.crashing[path]
    form, model, refused = _opened(form, path, references.open)
    exact = form.exact and not model.unpacks_in_every_call and references.against.sound
    report = _report(form, model, references, on_cpu=bool(refused), exact=exact)
    entry = _entry(form, folder, report, references.against, exact=exact) | {"provider": model.provider}
    verdicts = list(report.verdicts)
    if told := _told(form, path, references, on_cpu=bool(refused)):
        found, verdict = told
        entry |= {"exact_told": found} if found else {}
        verdicts.append(verdict)
    entry["verdicts"] = [asdict(verdict) for verdict in verdicts]
    notes = [refused] * bool(refused) + [UNFOLDED] * model.unpacks_in_every_call
    notes += [WIDENED] * (form.largest is not None and model.provider == "cpu")
    if notes:
        entry["note"] = "; ".join(notes)
        warn(f"{form.name}: {entry['note']}")
    return entry, named(form.name, verdicts)


def _told(
    form: Form, path: Path, references: _References, *, on_cpu: bool
) -> tuple[dict[str, Any] | None, "Verdict"] | None:
    """What a session of it gives that is told to give the logits of `onnx`; None where it promises none."""
    from recycle_pipeline.pipeline.stages.verify_told import judge_told, promises_here

    if not references.against.sound or not promises_here(form):
        return None
    open_ = partial(references.open, path, None, form.cpu_only)
    return judge_told(form, open_, references.logits, references.of(on_cpu=on_cpu))


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
    form: Form, model: "OnnxModel", references: _References, *, on_cpu: bool, exact: bool
) -> "VerifyReport":
    from recycle_pipeline.evaluators.verify import verify

    against = references.against
    timed, baseline = references.open(model.path, against.timed.threads, form.cpu_only), against.timed
    if baseline.provider != timed.provider:
        baseline = references.open(against.dense.path, against.timed.threads, form.cpu_only)
    beside_onnx = _compared_with(form, against, exact=exact) == DENSE
    onnx = references.of(on_cpu=on_cpu) if beside_onnx else None
    return verify(
        model,
        against.torch_logits if onnx is None else onnx,
        against.images,
        against.labels,
        batch_size=references.batch_size,
        timed=timed,
        baseline=baseline,
        latency=against.latency,
        limits=_limits(form, against.limits, exact=exact),
    )


def _limits(form: Form, onnx: "Limits", *, exact: bool) -> "Limits":
    """A form's promise; where it is none of its own, that of `onnx`."""
    from recycle_pipeline.evaluators.gates import Limits

    if exact:
        return Limits(max_difference=0.0)
    if form.accuracy_drop is not None:
        return Limits(None, max_accuracy_drop=form.accuracy_drop, max_magnitude=form.largest)
    return Limits(max_difference=onnx.max_difference, min_agreement=onnx.min_agreement)


def _compared_with(form: Form, against: Against, *, exact: bool) -> str:
    """Whose logits a form is held to: those of a wrong `onnx` are nothing to go by."""
    return DENSE if against.sound and (exact or form.accuracy_drop is not None) else "torch"


def _entry(
    form: Form, folder: RunFolder, report: "VerifyReport", against: Against, *, exact: bool
) -> dict[str, Any]:
    from recycle_pipeline.evaluators.report import samples_json
    from recycle_pipeline.evaluators.speed import speed_of

    size, dense = (folder.lying(name).stat().st_size for name in (form.name, DENSE))
    latency = report.latency
    assert latency is not None and latency.ratio is not None and latency.baseline is not None
    return {
        "file": folder.relative(folder.model(form.name)),
        "bytes": size,
        "share_of_dense": size / dense,
        "compared_with": _compared_with(form, against, exact=exact),
        "exact": exact,
        "max_difference": report.parity.max_difference,
        "top1_agreement": report.parity.top1_agreement,
        "top1": report.accuracy.top1,
        "top5": asdict(report.top5),
        "per_class": [each and asdict(each) for each in report.per_class],
        "latency": (own := samples_json(latency.model)),
        "latency_ms": own["median_ms"],
        "latency_low_ms": own["median_low_ms"],
        "latency_high_ms": own["median_high_ms"],
        "dense_ms": samples_json(latency.baseline)["median_ms"],
        "latency_ratio": asdict(latency.ratio),
        "speed": speed_of(latency.ratio.low, latency.ratio.high),
        "runtime": report.metadata.get("onnxruntime", ""),
        "needs": form.needs,
    }
