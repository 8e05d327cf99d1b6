"""Stage `verify`: the exported model under ONNX Runtime, against torch, labels and the dense twin."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.atomic import write_text
from recycle_pipeline.models.errors import CorruptArtefact
from recycle_pipeline.models.registry import is_custom
from recycle_pipeline.pipeline.data.prepared import Prepared, normalised
from recycle_pipeline.pipeline.forms import DENSE, FORMS
from recycle_pipeline.pipeline.manifest import read_manifest
from recycle_pipeline.pipeline.stages.stage import Context, Stage, arch_input, check_data, input_file

if TYPE_CHECKING:
    from torch import nn

    from recycle_pipeline.evaluators.onnx_model import OnnxModel
    from recycle_pipeline.pipeline.rebuild import Rebuilt

BATCH_SIZE = 256
LATENCY_SECONDS = 3.0
# Two sessions with many threads each disturb one another by where their threads land: equal models
# differed by 22 % on 16 cores, by 1 % with one thread.
TIMED_THREADS = 1


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
    from recycle_pipeline.evaluators.gates import Limits, raise_for
    from recycle_pipeline.evaluators.session import best_provider, open_session
    from recycle_pipeline.evaluators.verify import LatencySettings, verify
    from recycle_pipeline.pipeline.dense_model import SHRUNK_FROM
    from recycle_pipeline.pipeline.rebuild import rebuild
    from recycle_pipeline.pipeline.stages.verify_forms import Against, verify_forms
    from recycle_pipeline.pipeline.stages.verify_statistics import statistics_bits, statistics_effect

    config, folder, images = context.config, context.folder, context.images
    provider, reason = best_provider(config.provider)
    note = f"{reason}; verified on the CPU" if reason and _has_gpu() else ""
    if note:
        context.reporter.stage("verify", f"note: {note}")
    model_path = folder.model("onnx")
    context.reporter.stage("verify", f"{folder.relative(model_path)} under ONNX Runtime, provider {provider}")
    model = open_session(model_path, provider)
    custom = config.arch if is_custom(config.arch) and context.import_custom else None
    rebuilt = rebuild(folder.ticket, arch=custom)
    check_data(context, rebuilt.subnetwork)
    statistics = rebuilt.subnetwork.mean, rebuilt.subnetwork.std
    pixels = Prepared(images.test_images, lambda part: normalised(part, *statistics))
    reference = torch_logits(rebuilt.network, pixels)
    fed = Prepared(images.test_images) if model.input_dtype == np.uint8 else pixels
    limits = Limits(
        max_difference=config.max_difference,
        min_agreement=config.min_agreement,
        max_accuracy_drop=config.max_accuracy_drop,
        min_top1=config.min_top1,
        max_slowdown=None if config.max_slowdown is None else 1 + config.max_slowdown,
    )
    timed = open_session(model_path, provider, TIMED_THREADS)
    shrunk = SHRUNK_FROM in model.metadata
    with _twins(rebuilt, model, shrunk=shrunk) as (twin_path, shapes_path):
        report = verify(
            model,
            reference,
            fed,
            images.test_labels,
            batch_size=BATCH_SIZE,
            timed=timed,
            baseline=open_session(twin_path, provider, TIMED_THREADS),
            same_shapes=open_session(shapes_path, provider, TIMED_THREADS) if shapes_path else None,
            latency=LatencySettings(seconds=LATENCY_SECONDS),
            limits=limits,
        )
    forms, verdicts = verify_forms(
        folder,
        _forms(context),
        Against(reference, model, timed, fed, images.test_labels, limits, LATENCY_SECONDS),
        partial(_opened, provider),
        BATCH_SIZE,
        lambda name: context.reporter.stage("verify", f"{folder.relative(folder.model(name))} against onnx"),
        lambda text: context.reporter.stage("verify", f"note: {text}"),
    )
    content = report.to_json() | {"model": folder.relative(model_path), "provider_note": note}
    content |= {"classes": list(images.classes), "forms": forms}
    if (bits := statistics_bits(rebuilt.subnetwork)) and folder.searched.is_file():
        lossless = torch_logits(rebuild(folder.searched, arch=custom).network, pixels)
        content["statistics"], verdict = statistics_effect(
            bits, lossless, reference, images.test_labels, limits.max_accuracy_drop
        )
        verdicts = [*verdicts, verdict]
    write_text(folder.verify, json.dumps(content, indent=1) + "\n")
    raise_for([*report.verdicts, *verdicts])
    return summary(content)


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


def summary(report: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a verify.json that people ask for first."""
    latency = report["latency"]
    return {
        "provider": report["provider"],
        "provider_note": report["provider_note"],
        "n": report["n"],
        "torch_accuracy": report["accuracy"]["reference"]["top1"],
        "ort_accuracy": report["accuracy"]["model"]["top1"],
        "max_difference": report["parity"]["max_difference"],
        "agreement": report["parity"].get("agreement", float(report["parity"]["passed"])),
        "top1_agreement": report["parity"]["top1_agreement"],
        **_times("latency", latency["model"]),
        **_times("dense_twin", latency["baseline"]),
        "latency_ratio": latency["ratio"],
        "latency_n": latency["model"]["n"],
        "threads": latency["threads"],
        "forms": {name: _short(found) for name, found in report.get("forms", {}).items()},
        **({"statistics": report["statistics"]} if "statistics" in report else {}),
    } | _same_shapes(latency)


def _short(form: dict[str, Any]) -> dict[str, Any]:
    """What was found of a form, without every sample and every class."""
    return {key: value for key, value in form.items() if key not in ("latency", "per_class")}


def _times(name: str, samples: dict[str, Any]) -> dict[str, float]:
    """The median and its interval over sessions, which files of earlier versions do not have."""
    ends = {end: samples.get(f"median_{end}_ms") for end in ("low", "high")}
    return {f"{name}_ms": samples["median_ms"]} | {
        f"{name}_{end}_ms": ms for end, ms in ends.items() if ms is not None
    }


def _same_shapes(latency: dict[str, Any]) -> dict[str, Any]:
    """Of a shrunk model, beside the dense network that it stands for: its own shapes with nothing pruned."""
    if not latency.get("same_shapes"):
        return {}
    ratio = latency["same_shapes_ratio"]
    return {
        "same_shapes_ms": latency["same_shapes"]["median_ms"],
        "same_shapes_ratio": ratio["ratio"],
        "same_shapes_low": ratio["low"],
        "same_shapes_high": ratio["high"],
    }


def read_summary(path: Path) -> dict[str, Any]:
    """The `summary` of a verify.json; empty where it is damaged, for `verify` then makes it again."""
    try:
        found = summary(json.loads(path.read_text("utf-8")))
        flat = found | {name: found["latency_ratio"][name] for name in ("ratio", "low", "high")}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    kinds: dict[str, Any] = {"provider": str, "provider_note": str, "latency_ratio": dict, "forms": dict}
    kinds |= {"statistics": dict}
    return found if all(isinstance(v, kinds.get(k, int | float)) for k, v in flat.items()) else {}


def torch_logits(network: "nn.Module", pixels: Prepared) -> NDArray[np.float32]:
    """Logits of the rebuilt network, batch norm not folded, on the CPU: (N, K)."""
    import torch

    starts = range(0, len(pixels), BATCH_SIZE)
    with torch.inference_mode():
        parts = [network(torch.from_numpy(pixels[start : start + BATCH_SIZE])) for start in starts]
    logits: NDArray[np.float32] = torch.cat(parts).numpy()
    return logits


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


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
