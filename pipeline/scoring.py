"""Models that are given as files, on a data set: `verify MODEL...`, and the accuracy that `gate` asks for."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.config_file import read_run_config
from recycle_pipeline.pipeline.data import load
from recycle_pipeline.pipeline.data.image_set import ImageSet
from recycle_pipeline.pipeline.data.prepared import Prepared, normalised
from recycle_pipeline.pipeline.manifest import file_digest
from recycle_pipeline.pipeline.run_folder import RunFolder

if TYPE_CHECKING:
    from recycle_pipeline.evaluators.gates import Limits
    from recycle_pipeline.evaluators.onnx_model import OnnxModel
    from recycle_pipeline.evaluators.verify_models import Table

BATCH_SIZE = 256
Statistics = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class Data:
    """Which images: a name that `load` knows; None for that of the run folder around the first model."""

    name: str | None = None
    root: Path | None = None
    image_size: int | None = None


def score_models(
    paths: Sequence[Path],
    data: Data,
    provider: str,
    limits: "Limits",
    *,
    ticket: Path | None = None,
    compare_first: bool = False,
) -> "Table":
    """Opens models and runs them over the test split.

    Args:
        paths: ONNX files.
        data: which images.
        provider: its name, or "auto": CUDA where it computes, else the CPU.
        limits: of the gates.
        ticket: whose network in torch is the reference. None takes that of the run folder around the first
            model, where it is the one that the model was made of, and else the first model.
        compare_first: take the first model as the reference, whatever lies around it.

    Raises:
        UsageFault: files or data that are not there, or do not belong together.
        CorruptArtefact: a file that cannot be read.
        ProviderUnavailable: a provider that was asked for and cannot run.
    """
    from recycle_pipeline.evaluators.session import best_provider, open_session
    from recycle_pipeline.evaluators.verify_models import Table, score
    from recycle_pipeline.evaluators.workers import require_no_crash

    provider, _ = best_provider(provider)
    require_no_crash(paths, provider)
    models = [open_session(path, provider) for path in paths]
    images = _images(paths[0], data)
    notes = [note for model in models if (note := _note(model, images))]
    if not compare_first:
        ticket = ticket or _ticket_of(models[0])
    reference = _torch_logits(ticket, images) if ticket else None
    top1, rows = score(models, lambda m: _fed(m, images), images.test_labels, reference, limits, BATCH_SIZE)
    return Table(
        reference=f"torch, from {ticket}" if ticket else f"{paths[0]}, the first model",
        reference_top1=top1,
        data=images.name,
        classes=images.classes,
        n=len(images.test_labels),
        rows=tuple(rows),
        notes=tuple(notes),
    )


def _images(first: Path, data: Data) -> ImageSet:
    if data.name:
        return load(data.name, data_root=data.root, image_size=data.image_size)
    folder = RunFolder(first.resolve().parent.parent)
    if not folder.config.is_file():
        raise UsageFault(
            f"{first} lies in no run folder that would say which data it is for; give --data, such as "
            "--data digits or --data folder:PATH."
        )
    config = read_run_config(folder.config)
    root = data.root or (Path(config["data_root"]) if config.get("data_root") else None)
    size = data.image_size or config.get("image_size")
    return load(str(config.get("data")), data_root=root, image_size=size)


def _ticket_of(model: "OnnxModel") -> Path | None:
    """The ticket of the run folder around a model, where the model says that it was made of it."""
    path = RunFolder(model.path.resolve().parent.parent).ticket
    known = model.metadata.get("ticket_sha256")
    return path if known and path.is_file() and file_digest(path) == known else None


def _statistics(model: "OnnxModel") -> Statistics | None:
    """Mean and deviation that a model's file asks for; None where it says nothing readable."""
    try:
        mean, std = (json.loads(model.metadata[key]) for key in ("mean", "std"))
        return tuple(map(float, mean)), tuple(map(float, std))
    except (KeyError, ValueError, TypeError):
        return None


def _fed(model: "OnnxModel", images: ImageSet) -> Prepared:
    """The test split as a model takes it."""
    if model.input_dtype == np.uint8:
        return Prepared(images.test_images)
    mean, std = _statistics(model) or (images.mean, images.std)
    return Prepared(images.test_images, lambda part: normalised(part, mean, std).astype(model.input_dtype))


def _note(model: "OnnxModel", images: ImageSet) -> str | None:
    if model.input_dtype == np.uint8 or _statistics(model):
        return None
    return (
        f"{model.path} does not say how its input is normalised; the statistics of {images.name} were taken"
    )


def _torch_logits(ticket: Path, images: ImageSet) -> NDArray[np.float32]:
    from recycle_pipeline.pipeline.rebuild import rebuild
    from recycle_pipeline.pipeline.stages.verify_subject import torch_logits

    rebuilt = rebuild(ticket)
    subnetwork = rebuilt.subnetwork
    if subnetwork.classes != images.classes:
        raise UsageFault(
            f"{ticket} is of {len(subnetwork.classes)} classes, {images.name} has {len(images.classes)}, or "
            "others of other names or order; give the --data that it was searched on."
        )
    pixels = Prepared(images.test_images, lambda part: normalised(part, subnetwork.mean, subnetwork.std))
    return torch_logits(rebuilt.network, pixels)
