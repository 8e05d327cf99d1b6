"""Stage `export`: ticket.safetensors to the forms in onnx/, by way of the rebuilt and folded network."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recycle_pipeline.exporters.atomic import sync_and_rename
from recycle_pipeline.models.errors import RecycleError
from recycle_pipeline.models.registry import is_custom
from recycle_pipeline.pipeline.data.prepared import normalised
from recycle_pipeline.pipeline.forms import DENSE, FORMS
from recycle_pipeline.pipeline.leftovers import scratch_in
from recycle_pipeline.pipeline.stages.stage import Context, Stage, arch_input, check_data, input_file

if TYPE_CHECKING:
    from torch import Tensor

    from recycle_pipeline.exporters.onnx.forms import Dense
    from recycle_pipeline.exporters.onnx.int8 import Batch
    from recycle_pipeline.models.subnetwork import Subnetwork

CALIBRATION_IMAGES, CALIBRATION_BATCH = 512, 64
FOLD_BATCHES = 4
FOLD_BATCH_SIZE = 128


def _inputs(context: Context) -> dict[str, str]:
    ticket = input_file(context, context.folder.ticket, "pack")
    return {"ticket": ticket, "data": context.images.digest(), **arch_input(context)}


def _outputs(context: Context) -> list[Path]:
    """Of all forms together those that the network has not are missing."""
    return [path for form in context.config.export if (path := context.folder.model(form)).is_file()]


def _work(context: Context) -> dict[str, Any]:
    from recycle_pipeline.pipeline.dense_model import dense, fold
    from recycle_pipeline.pipeline.rebuild import rebuild

    config, folder = context.config, context.folder
    context.reporter.stage("export", f"rebuild from the ticket, fold, write {', '.join(config.export)}")
    custom = config.arch if is_custom(config.arch) and context.import_custom else None
    rebuilt = rebuild(folder.ticket, arch=custom)
    check_data(context, rebuilt.subnetwork)
    folded = fold(rebuilt, _real_batches(context))
    if folded.reason:
        context.reporter.stage("export", f"note: batch norm stays unfolded: {folded.reason}")
    made_of, shrinking = dense(
        folded,
        rebuilt.subnetwork,
        folder.ticket,
        partial(_calibration, context, rebuilt.subnetwork),
        embed_preprocessing=config.embed_preprocessing,
        shrink_on=np.asarray(_some_images(context)) if config.shrink else None,
        ort_target=config.ort_target,
    )
    if shrinking and shrinking.note:
        context.reporter.stage("export", f"note: not shrunk: {shrinking.note}")
    missing = _write(context, made_of)
    return {
        "batch_norms_folded": folded.batch_norms,
        "fold_note": folded.reason,
        "fold_max_difference": folded.difference,
        "shrinking": shrinking.to_json() if shrinking else None,
        "bytes": {form: folder.model(form).stat().st_size for form in config.export if form not in missing},
        "missing": missing,
    }


def _write(context: Context, made_of: "Dense") -> dict[str, str]:
    """Writes the forms, in place of what an export before left; returns why which are missing.

    All are written before the first takes its place: a full disk leaves those that were there.

    Raises:
        RecycleError: the network has not one of those asked for; where all are, it is told and left out.
        OSError: the disk is full.
    """
    from recycle_pipeline.exporters.onnx.forms import write_form

    folder, wanted = context.folder, context.config.export
    missing = {}
    with scratch_in(folder) as beside:
        for form in wanted:
            try:
                write_form(form, made_of, beside / folder.model(form).name)
            except RecycleError as error:
                if len(wanted) < len(FORMS):
                    raise
                missing[form] = str(error)
                context.reporter.stage("export", f"note: no {form}: {error}")
        folder.model(DENSE).parent.mkdir(exist_ok=True)
        for path in (*(folder.model(form) for form in FORMS), *folder.rejections()):
            if (beside / path.name).is_file() and path.parent != folder.rejected:
                sync_and_rename(beside / path.name, path)
            else:
                path.unlink(missing_ok=True)
    return missing


def _calibration(context: Context, subnetwork: "Subnetwork") -> "Iterator[Batch]":
    """Training images, evenly over the split, as the model takes them."""
    train, raw = context.images.train_images, context.config.embed_preprocessing
    chosen = np.linspace(0, len(train) - 1, min(CALIBRATION_IMAGES, len(train))).astype(int)
    for numbers in np.array_split(chosen, -(-len(chosen) // CALIBRATION_BATCH)):
        pixels = np.asarray(train[numbers])
        yield pixels if raw else normalised(pixels, subnetwork.mean, subnetwork.std)


def _real_batches(context: Context) -> "list[Tensor]":
    """Several batches of test images, as the network takes them."""
    import torch

    from recycle_pipeline.pipeline.search.batches import Normalise

    normalise = Normalise(context.images, torch.device("cpu"))
    pixels = torch.from_numpy(np.asarray(_some_images(context)))
    return [normalise(part) for part in torch.split(pixels, FOLD_BATCH_SIZE)]


def _some_images(context: Context) -> Any:
    return context.images.test_images[: FOLD_BATCHES * FOLD_BATCH_SIZE]


EXPORT = Stage(
    "export",
    schema=5,
    config_keys=("export", "embed_preprocessing", "shrink", "ort_target"),
    unsaid={"shrink": True, "ort_target": None},
    inputs=_inputs,
    outputs=_outputs,
    work=_work,
)
