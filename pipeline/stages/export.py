"""Stage `export`: ticket.safetensors to onnx/model.onnx, by way of the rebuilt and folded network."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recycle_pipeline.models.registry import is_custom
from recycle_pipeline.pipeline.stages.stage import Context, Stage, arch_input, check_data, input_file

if TYPE_CHECKING:
    from torch import Tensor

FOLD_BATCHES = 4
FOLD_BATCH_SIZE = 128


def _inputs(context: Context) -> dict[str, str]:
    ticket = input_file(context, context.folder.ticket, "pack")
    return {"ticket": ticket, "data": context.images.digest(), **arch_input(context)}


def _outputs(context: Context) -> list[Path]:
    return [context.folder.model(form) for form in context.config.export]


def _work(context: Context) -> dict[str, Any]:
    from recycle_pipeline.pipeline.dense_model import fold, write_dense_model
    from recycle_pipeline.pipeline.rebuild import rebuild

    config = context.config
    context.reporter.stage("export", f"rebuild from the ticket, fold, write {', '.join(config.export)}")
    custom = config.arch if is_custom(config.arch) and context.import_custom else None
    rebuilt = rebuild(context.folder.ticket, arch=custom)
    check_data(context, rebuilt.subnetwork)
    folded = fold(rebuilt, _real_batches(context))
    if folded.reason:
        context.reporter.stage("export", f"note: batch norm stays unfolded: {folded.reason}")
    for form in config.export:
        shrinking = write_dense_model(
            folded,
            rebuilt.subnetwork,
            context.folder.ticket,
            context.folder.model(form),
            embed_preprocessing=config.embed_preprocessing,
            shrink_on=np.asarray(_some_images(context)) if config.shrink else None,
        )
        if shrinking and shrinking.note:
            context.reporter.stage("export", f"note: not shrunk: {shrinking.note}")
    return {
        "batch_norms_folded": folded.batch_norms,
        "fold_note": folded.reason,
        "fold_max_difference": folded.difference,
        "shrinking": shrinking.to_json() if shrinking else None,
        "bytes": {form: context.folder.model(form).stat().st_size for form in config.export},
    }


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
    schema=2,
    config_keys=("export", "embed_preprocessing", "shrink"),
    unsaid={"shrink": True},
    inputs=_inputs,
    outputs=_outputs,
    work=_work,
)
