"""Stage `search`: data and settings to search.safetensors and metrics.jsonl."""

import dataclasses
import hashlib
import inspect
import json
from pathlib import Path
from typing import Any

from recycle_pipeline.models.registry import build, find_builder, is_custom
from recycle_pipeline.pipeline.config import RunConfig
from recycle_pipeline.pipeline.device import find_device
from recycle_pipeline.pipeline.search.records import EpochRecord
from recycle_pipeline.pipeline.stages.stage import Context, Stage


def _inputs(context: Context) -> dict[str, str]:
    inputs = {"data": context.images.digest()}
    arch = context.config.arch
    if is_custom(arch):
        source = inspect.getsourcefile(
            inspect.unwrap(find_builder(arch, import_custom=context.import_custom))
        )
        if source is not None:
            inputs["arch"] = hashlib.sha256(Path(source).read_bytes()).hexdigest()
    return inputs


def _outputs(context: Context) -> list[Path]:
    return [context.folder.searched, context.folder.metrics]


def _work(context: Context) -> dict[str, Any]:
    import torch

    from recycle_pipeline.exporters.ticket.writer import write_ticket
    from recycle_pipeline.models.subnetwork import array_digest
    from recycle_pipeline.pipeline.search.loop import evaluate, search
    from recycle_pipeline.pipeline.search.outcome import subnetwork_of

    config, images = context.config, context.images
    device = find_device(config.device)
    torch.manual_seed(config.seed % 2**32)  # reaches only what a custom arch leaves unmasked
    network = build(
        config.arch,
        classes=len(images.classes),
        channels=images.channels,
        image_size=images.image_size,
        import_custom=context.import_custom,
    )
    records: list[EpochRecord] = []
    context.folder.root.mkdir(parents=True, exist_ok=True)
    settings = settings_of(config)
    context.reporter.stage("search", _plan(config, images.name, len(images.train_labels), device))
    try:
        with context.folder.live_metrics.open("w", encoding="utf-8") as live:

            def on_epoch(record: EpochRecord) -> None:
                records.append(record)
                live.write(json.dumps(dataclasses.asdict(record)) + "\n")
                live.flush()
                context.reporter.search_epoch(record, settings.epochs)

            masked = search(network, images, settings, device, on_epoch, context.reporter.search_step)
    finally:
        context.reporter.search_over()
    subnetwork = subnetwork_of(masked, images, config.arch)
    arrays = {name: tensor.cpu().numpy() for name, tensor in masked.effective().items()}
    arrays.update(subnetwork.state)
    digests = {name: array_digest(array) for name, array in arrays.items()}
    write_ticket(subnetwork, context.folder.searched, digests)
    context.folder.live_metrics.replace(context.folder.metrics)
    return {
        "device": str(device),
        "kept": subnetwork.kept,
        "weights": subnetwork.size,
        "moved": sum(tensor.moved for tensor in subnetwork.tensors),
        "test_accuracy": evaluate(network, images, device),
        "best_test_accuracy": max(record.test_accuracy for record in records),
        "test_images": len(images.test_labels),
        "images_per_second": round(max(record.images_per_second for record in records), 1),
    }


def settings_of(config: RunConfig) -> Any:
    """The search's settings from a resolved config."""
    from recycle_pipeline.models.masked_network import Recipe
    from recycle_pipeline.pipeline.search.settings import SearchSettings

    values = dataclasses.asdict(config)
    recipe_names = {f.name for f in dataclasses.fields(Recipe)} - {"kind"}
    recipe = Recipe(kind=values["subnetwork"], **{name: values[name] for name in recipe_names})
    names = {f.name for f in dataclasses.fields(SearchSettings)} - {"recipe"}
    return SearchSettings(recipe=recipe, **{name: values[name] for name in names})


def _plan(config: RunConfig, data: str, images: int, device: object) -> str:
    return (
        f"{config.arch}, {config.prune:.4g} removed, {config.subnetwork}, reuse {config.reuse}; "
        f"{data} ({images} images), {config.epochs} epochs on {device}"
    )


SEARCH = Stage(
    name="search",
    schema=1,
    # The device is not among them: it changes how fast a search is, not which run this is.
    config_keys=(
        "arch",
        "prune",
        "subnetwork",
        "init",
        "scale_fan",
        "reuse",
        "reuse_rate",
        "reuse_period",
        "scope",
        "data",
        "image_size",
        "epochs",
        "batch_size",
        "learning_rate",
        "momentum",
        "weight_decay",
        "warmup",
        "label_smoothing",
        "seed",
    ),
    inputs=_inputs,
    outputs=_outputs,
    work=_work,
)
