"""Stage `export`: ticket.safetensors to onnx/model.onnx, by way of the rebuilt and folded network."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recycle_pipeline.models.registry import is_custom
from recycle_pipeline.pipeline.stages.stage import Context, Stage, arch_input, check_data, input_file
from recycle_pipeline.pipeline.version import VERSION

if TYPE_CHECKING:
    from torch import Tensor

    from recycle_pipeline.models.subnetwork import Subnetwork

FOLD_BATCHES = 4
FOLD_BATCH_SIZE = 128


def _inputs(context: Context) -> dict[str, str]:
    ticket = input_file(context, context.folder.ticket, "pack")
    return {"ticket": ticket, "data": context.images.digest(), **arch_input(context)}


def _outputs(context: Context) -> list[Path]:
    return [context.folder.model(form) for form in context.config.export]


def _work(context: Context) -> dict[str, Any]:
    from recycle_pipeline.exporters.onnx.dense import InputSpec, export_dense
    from recycle_pipeline.models.fold import fold_batch_norm
    from recycle_pipeline.models.options import SIGN_AGREEMENT
    from recycle_pipeline.pipeline.rebuild import rebuild

    config = context.config
    context.reporter.stage("export", f"rebuild from the ticket, fold, write {', '.join(config.export)}")
    custom = config.arch if is_custom(config.arch) and context.import_custom else None
    rebuilt = rebuild(context.folder.ticket, arch=custom)
    check_data(context, rebuilt.subnetwork)
    agreement = SIGN_AGREEMENT if rebuilt.subnetwork.options.binary else 1.0
    folded = fold_batch_norm(rebuilt.network, _real_batches(context), agreement)
    if folded.reason:
        context.reporter.stage("export", f"note: batch norm stays unfolded: {folded.reason}")
    subnetwork = rebuilt.subnetwork
    spec = InputSpec(
        subnetwork.channels,
        subnetwork.image_size,
        subnetwork.mean,
        subnetwork.std,
        config.embed_preprocessing,
    )
    for form in config.export:
        export_dense(folded.network, spec, _metadata(context, subnetwork), context.folder.model(form))
    return {
        "batch_norms_folded": folded.batch_norms,
        "fold_note": folded.reason,
        "fold_max_difference": folded.difference,
        "bytes": {form: context.folder.model(form).stat().st_size for form in config.export},
    }


def _real_batches(context: Context) -> "list[Tensor]":
    """Several batches of test images, as the network takes them."""
    import torch

    from recycle_pipeline.pipeline.search.batches import Normalise

    normalise = Normalise(context.images, torch.device("cpu"))
    some = context.images.test_images[: FOLD_BATCHES * FOLD_BATCH_SIZE]
    pixels = torch.from_numpy(np.asarray(some))
    return [normalise(part) for part in torch.split(pixels, FOLD_BATCH_SIZE)]


def _metadata(context: Context, subnetwork: "Subnetwork") -> dict[str, str]:
    import json

    from recycle_pipeline.exporters.onnx.dense import INPUT, OUTPUT
    from recycle_pipeline.pipeline.manifest import file_digest

    embedded = context.config.embed_preprocessing
    scaled = f"float32 (N, C, S, S): (pixels / 255 - {list(subnetwork.mean)}) / {list(subnetwork.std)}"
    return {
        "tool": f"recycle-pipeline {VERSION}",
        "form": "onnx",
        "arch": subnetwork.arch,
        **{name: str(value) for name, value in subnetwork.options.changed().items()},
        "classes": json.dumps(subnetwork.classes),
        "input_name": INPUT,
        "output_name": OUTPUT,
        "layout": "NCHW",
        "input": "uint8 (N, C, S, S) pixels; normalised inside the graph" if embedded else scaled,
        "mean": json.dumps(subnetwork.mean),
        "std": json.dumps(subnetwork.std),
        "seed": str(subnetwork.seed),
        "subnetwork": subnetwork.kind,
        "kept": f"{subnetwork.kept}/{subnetwork.size}",
        "ticket_sha256": file_digest(context.folder.ticket),
    }


EXPORT = Stage(
    "export",
    schema=1,
    config_keys=("export", "embed_preprocessing"),
    inputs=_inputs,
    outputs=_outputs,
    work=_work,
)
