"""Stage `search`: data and settings to search.safetensors and metrics.jsonl."""

import dataclasses
import statistics
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.models.registry import build
from recycle_pipeline.pipeline.config import RunConfig
from recycle_pipeline.pipeline.data import ImageSet
from recycle_pipeline.pipeline.device import device_among, find_device
from recycle_pipeline.pipeline.manifest import stage_key
from recycle_pipeline.pipeline.out_of_memory import in_a_search, is_out_of_memory
from recycle_pipeline.pipeline.presets import find_preset
from recycle_pipeline.pipeline.rate_changes import rate_changes
from recycle_pipeline.pipeline.search.records import EpochRecord
from recycle_pipeline.pipeline.stages.search_log import SearchLog
from recycle_pipeline.pipeline.stages.stage import Context, Stage, arch_input
from recycle_pipeline.pipeline.version import VERSION

if TYPE_CHECKING:
    from recycle_pipeline.models.masked_network import MaskedNetwork
    from recycle_pipeline.models.subnetwork import Subnetwork


def _inputs(context: Context) -> dict[str, str]:
    return {"data": context.images.digest(), **arch_input(context)}


def _outputs(context: Context) -> list[Path]:
    return [context.folder.searched, context.folder.metrics]


def _work(context: Context) -> dict[str, Any]:
    if context.together:
        context.together.announce(_identity(context))
        _fetch(context)
    world, device = _world(context)
    masked, log = _searched(context, world, device)
    records = log.records
    world.close()
    subnetwork = _stored(context, masked)
    log.finish()
    return {
        "device": str(device),
        **_facts_of_processes(context.config, world),
        "kept": subnetwork.kept,
        "weights": subnetwork.size,
        "moved": sum(tensor.moved for tensor in subnetwork.tensors),
        **_accuracy_facts(records, len(context.searched_images.test_labels)),
        "images_per_second": round(statistics.median(r.images_per_second for r in records), 1),
        **_preset_facts(context.config),
    }


def _searched(context: Context, world: Any, device: Any) -> "tuple[MaskedNetwork, SearchLog]":
    """Searches, with progress told and kept, from a checkpoint where there is one."""
    from recycle_pipeline.pipeline.search.checkpoints import Checkpoints
    from recycle_pipeline.pipeline.search.loop import search

    images, settings = context.searched_images, settings_of(context.config)
    network, reporter = _network(context), context.reporter
    reporter.stage("search", _plan(context.config, images, device))
    context.folder.root.mkdir(parents=True, exist_ok=True)
    belongs_to, path = _belongs_to(context, device.type), context.folder.checkpoint
    with (
        SearchLog(
            context.folder, reporter, tensorboard=context.config.tensorboard, check=context.check_folder
        ) as log,
        Checkpoints(path, belongs_to, log.note, log.resumed) as checkpoints,
    ):
        reporter.search_begins(settings.epochs, len(images.train_labels))
        tell = log.listeners
        try:
            masked = search(network, images, settings, device, tell, world=world, checkpoints=checkpoints)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            del network
            fits = _fitting_batch(context, settings, world, device, error)
            raise in_a_search(error, device, settings.batch_size, checkpoints.kept(), fits) from error
    return masked, log


def _fitting_batch(context: Context, settings: Any, world: Any, device: Any, error: Exception) -> int | None:
    """A batch that fits where this search ran out of memory; None where none is found, or none looked for.

    Of the host's memory, running out once more may end the process.
    """
    import torch

    from recycle_pipeline.pipeline.search.fitting import fitting_batch

    images = context.searched_images
    if not isinstance(error, torch.OutOfMemoryError) or world.size > 1 or images.streams:
        return None
    context.reporter.stage("search", f"memory of {device} ran out; looks for a batch that fits")
    raised: BaseException | None = error
    while raised is not None:  # its frames hold the search's tensors
        traceback.clear_frames(raised.__traceback__)
        raised = raised.__context__
    try:
        return fitting_batch(lambda: _network(context), images, settings, device)
    except Exception:  # whatever trying met, it is the search's own error that is told
        return None


def _stored(context: Context, masked: "MaskedNetwork") -> "Subnetwork":
    """Writes search.safetensors, with digests of what the search computed with."""
    from recycle_pipeline.exporters.ticket.digests import digests_of
    from recycle_pipeline.exporters.ticket.writer import write_ticket
    from recycle_pipeline.pipeline.search.outcome import subnetwork_of

    config = context.config
    recipe = {key: value for key, value in SEARCH.settings(config).items() if value is not None}
    # `data` is the setting, a name or a path; the digest is of the whole, held out or not.
    recipe |= {"tool": VERSION, "data_sha256": context.images.digest()}
    subnetwork = subnetwork_of(masked, context.searched_images, config.arch, recipe, config.options)
    weights = {name: tensor.cpu().numpy() for name, tensor in masked.effective().items()}
    write_ticket(subnetwork, context.folder.searched, digests_of(weights, subnetwork.state))
    return subnetwork


def _accuracy_facts(records: list[EpochRecord], count: int) -> dict[str, Any]:
    """The last and the best accuracy and of how many images, under names that say of which."""
    name = records[-1].measured_on.replace(" ", "_")
    last, best = records[-1].accuracy, max(record.accuracy for record in records)
    return {f"{name}_accuracy": last, f"best_{name}_accuracy": best, f"{name}_images": count}


def _belongs_to(context: Context, device: str) -> dict[str, Any]:
    """What a search must have in common with another to go on from its checkpoint."""
    others = {"device": device, "version of recycle-pipeline": VERSION, "version of search": SEARCH.schema}
    contents = {f"contents of {name}": digest for name, digest in _inputs(context).items()}
    return SEARCH.settings(context.config) | contents | others


def search_along(context: Context, word: str) -> None:
    """The search of a process that is not the first: the same, with nothing written and nothing said.

    Args:
        context: with the connection to the other processes.
        word: what the first process announced.

    Raises:
        UsageFault: here it would be another search.
    """
    from recycle_pipeline.pipeline.search.loop import search

    _fetch(context)
    if word != _identity(context):
        raise UsageFault(
            "this process has other settings, data, sources of --arch or another version of recycle-pipeline "
            "than process 0; start all with one command, on machines that hold the same"
        )
    world, device = _world(context)
    search(_network(context), context.searched_images, settings_of(context.config), device, world=world)
    world.close()


def _identity(context: Context) -> str:
    return stage_key(SEARCH.name, SEARCH.schema, VERSION, SEARCH.settings(context.config), _inputs(context))


def _fetch(context: Context) -> None:
    """Where data may be downloaded, one process on each machine does so, before the others look."""
    together = context.together
    if together and context.config.download:
        if together.ranks.local_rank == 0:
            context.images  # noqa: B018 - loads them
        together.gathered("data", "there")


def _world(context: Context) -> tuple[Any, Any]:
    """The processes that search together, and this one's device."""
    import torch

    from recycle_pipeline.pipeline.search.distributed import ALONE, form_world

    together = context.together
    if together is None:
        return ALONE, find_device(context.config.device)
    device, own = device_among(context.config.device, together.ranks)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return form_world(together, device, own=own), device


def _network(context: Context) -> Any:
    import torch

    config, images = context.config, context.images
    torch.manual_seed(config.seed % 2**32)  # reaches only what a custom arch leaves unmasked
    return build(
        config.arch,
        classes=len(images.classes),
        channels=images.channels,
        image_size=images.image_size,
        options=config.options,
        import_custom=context.import_custom,
    )


def _facts_of_processes(config: RunConfig, world: Any) -> dict[str, Any]:
    """A step's batch is what the rule for the learning rate sees."""
    if world.size == 1:
        return {}
    return {"processes": world.size, "global_batch_size": world.size * (config.batch_size or 0)}


def _preset_facts(config: RunConfig) -> dict[str, Any]:
    if config.preset is None:
        return {}
    return {"preset": find_preset(config.preset).account(config.to_dict())}


def settings_of(config: RunConfig) -> Any:
    """The search's settings from a resolved config."""
    from recycle_pipeline.models.recipe import Recipe
    from recycle_pipeline.pipeline.search.settings import SearchSettings

    values = dataclasses.asdict(config)
    values["learning_rate_after"] = rate_changes(config.learning_rate_after)
    values["reuse_period"] = config.reuse_period or 0  # not read where events are counted in steps
    recipe_names = {f.name for f in dataclasses.fields(Recipe)} - {"kind"}
    recipe = Recipe(kind=values["subnetwork"], **{name: values[name] for name in recipe_names})
    names = {f.name for f in dataclasses.fields(SearchSettings)} - {"recipe"}
    return SearchSettings(recipe=recipe, **{name: values[name] for name in names})


def _plan(config: RunConfig, images: ImageSet, device: object) -> str:
    apart = f"{len(images.test_labels)} {'held out' if images.held_out else 'to test on'}"
    epochs = f"{config.epochs} epoch{'s' if config.epochs != 1 else ''}"
    return (
        f"{config.arch}{config.options.described()}, {config.prune:g} removed, {config.subnetwork}, "
        f"reuse {config.reuse}; "
        f"{images.name} ({len(images.train_labels)} images, {apart}), {epochs} on {device}, a single run"
    )


SEARCH = Stage(
    name="search",
    schema=3,
    # The device is not among them: a run found elsewhere is the same run, though rounding differs
    # (and where no precision is asked for, it is bfloat16 on CUDA). The manifest says where it was.
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
        "learning_rate_after",
        "momentum",
        "weight_decay",
        "warmup",
        "label_smoothing",
        "seed",
        "width",
        "activations",
        "batch_norm",
        "preset",
        "scores",
        "rounding",
        "layer_minimum",
        "recycle_from",
        "reuse_period_steps",
        "optimizer",
        "schedule",
        "processes",
        "hold_out",
        "cutout",
        "allocation",
        "precision",
    ),
    unsaid={
        "width": 1.0,
        "activations": "relu",
        "batch_norm": "fixed",
        "preset": None,
        "scores": "magnitude",
        "rounding": "edge-popup",
        "layer_minimum": 0.0,
        "recycle_from": "top",
        "reuse_period_steps": None,
        "optimizer": "sgd",
        "schedule": "cosine",
        "processes": None,
        "hold_out": 0,
        "cutout": 0,
        "allocation": "uniform",
        "learning_rate_after": None,
        "precision": "auto",
    },
    inputs=_inputs,
    outputs=_outputs,
    work=_work,
)
