"""Packing a state dict from elsewhere: a run folder with a ticket, and no search."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.models.registry import build
from recycle_pipeline.pipeline.card import refresh_card
from recycle_pipeline.pipeline.command_line import command
from recycle_pipeline.pipeline.config_file import settings_text, write_settings
from recycle_pipeline.pipeline.folder_lock import alone_in
from recycle_pipeline.pipeline.importing.request import HEADING, FileRequest, NetworkInput
from recycle_pipeline.pipeline.leftovers import holds_nothing, temporary_files_in
from recycle_pipeline.pipeline.manifest import file_digest, read_manifest
from recycle_pipeline.pipeline.reporter import Reporter
from recycle_pipeline.pipeline.run_folder import RunFolder, folder_name
from recycle_pipeline.pipeline.stages.pack import FROM_FILE, pack_facts, packed_from_file
from recycle_pipeline.pipeline.stages.stage import Context, Stage, arch_input, run_stage
from recycle_pipeline.pipeline.version import VERSION

if TYPE_CHECKING:
    from recycle_pipeline.models.subnetwork import Subnetwork


@dataclass(frozen=True)
class Packed:
    """A file's network as a ticket's content.

    Attributes:
        subnetwork: what to store.
        conventions: in which the file has its masks, in words.
        tied: see `conventions.Effective`.
    """

    subnetwork: "Subnetwork"
    conventions: tuple[str, ...]
    tied: int


def pack_file(request: FileRequest, reporter: Reporter, *, force: bool = False) -> Context:
    """Packs a file into a run folder, from which `export` and `verify` go on; the same again is skipped.

    Args:
        request: the file and what was said about it.
        reporter: for progress.
        force: do it again, and over a ticket of another file.

    Returns:
        The context of the folder.

    Raises:
        UsageFault: the file cannot be read, does not fit the architecture, or has weights that a ticket
            cannot hold; or the folder holds something else. Nothing was written.
        CorruptArtefact: the file is damaged.
        OSError: the folder cannot be written.
    """
    folder = RunFolder(Path(request.config.output_dir or default_folder(request)))
    _check_folder(folder, request)
    context = Context(request.config, folder, reporter, import_custom=True)
    taken = _network_input(request, context)
    packed = _packed(request, taken)
    stage = _stage(request, taken, packed)
    if not force:
        _check_same(stage, context)
    folder.check_inside()
    with alone_in(folder.root) as context.check_folder, temporary_files_in(folder):
        # First: a folder that holds no more than this is known to be ours, should this process be killed.
        write_settings(request.settings(), folder.config, HEADING)
        run_stage(stage, context, force=force)
        refresh_card(folder, reporter)
    return context


def default_folder(request: FileRequest) -> Path:
    """runs/<arch>-<name of the file>-<start of its digest>."""
    _check_there(request.path)
    words = [request.config.arch, request.path.stem, file_digest(request.path)[:8]]
    return Path("runs") / folder_name(words)


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise UsageFault(f"there is no file {path}: expected a run folder or a state dict")


def _begun(folder: RunFolder, request: FileRequest) -> bool:
    """Whether the same command was killed here before it was done."""
    if not folder.config.is_file() or read_manifest(folder.manifest).stages:
        return False
    return folder.config.read_text("utf-8", "replace") == settings_text(request.settings(), HEADING)


def _check_folder(folder: RunFolder, request: FileRequest) -> None:
    root = folder.root
    if root.exists() and not root.is_dir():
        raise UsageFault(f"--output-dir {root} is a file; expected a folder, or a name that is free")
    if not holds_nothing(root) and not packed_from_file(folder) and not _begun(folder, request):
        raise UsageFault(
            f"--output-dir {root} is not empty and holds no ticket packed from a file; choose another"
        )


def _check_same(stage: Stage, context: Context) -> None:
    known = read_manifest(context.folder.manifest).stages.get("pack")
    if known and (known.inputs, known.config) != (stage.inputs(context), stage.settings(context.config)):
        raise UsageFault(
            f"--output-dir {context.folder.root} holds a ticket of another file, or of this one read "
            "otherwise; choose another folder, or --force to replace it"
        )


def _network_input(request: FileRequest, context: Context) -> NetworkInput:
    """As said, or as the data set says, with its statistics replaced by those given.

    Raises:
        UsageFault: means or standard deviations for another number of channels.
    """
    if request.without_data is not None:
        return request.without_data
    images = context.images
    mean, std = request.mean or images.mean, request.std or images.std
    for name, values in (("mean", mean), ("std", std)):
        if len(values) != images.channels:
            raise UsageFault(
                f"--{name} has {len(values)} numbers; expected {images.channels}, one for each channel of "
                f"{images.name}"
            )
    return NetworkInput(images.classes, images.channels, images.image_size, mean, std)


def _packed(request: FileRequest, taken: NetworkInput) -> Packed:
    import torch

    from recycle_pipeline.models.maskable import check_network, maskable_layers
    from recycle_pipeline.models.registry import is_custom
    from recycle_pipeline.models.subnetwork import Subnetwork
    from recycle_pipeline.pipeline.importing.conventions import effective
    from recycle_pipeline.pipeline.importing.fitting import fitted
    from recycle_pipeline.pipeline.importing.foreign import held
    from recycle_pipeline.pipeline.importing.published_names import renamed
    from recycle_pipeline.pipeline.importing.state_files import read_state_dict

    config, classes = request.config, len(taken.classes)
    sizes = {"classes": classes, "channels": taken.channels, "image_size": taken.image_size}
    with torch.device("cpu" if is_custom(config.arch) else "meta"):
        network = build(config.arch, **sizes, options=config.options, import_custom=True)
    if is_custom(config.arch):
        check_network(network, **sizes)
    found = effective(read_state_dict(request.path), request.search)
    arrays = fitted(renamed(found.tensors, config.arch, request.renames), network, config.arch)
    parts = held(arrays, list(maskable_layers(network)), config.seed, request.unmasked)
    kept = sum(tensor.kept for tensor in parts.tensors)
    if kept == 0:
        raise UsageFault(f"every weight of {request.path} is 0: there is nothing to pack")
    size = sum(tensor.size for tensor in parts.tensors)
    subnetwork = Subnetwork(
        arch=config.arch,
        classes=taken.classes,
        channels=taken.channels,
        image_size=taken.image_size,
        mean=taken.mean,
        std=taken.std,
        seed=config.seed,
        kind="binary",
        prune=1 - kept / size,
        scope="global",  # the fraction was counted over all layers, whatever the search did
        tensors=parts.tensors,
        state=parts.state,
        recipe=_recipe(request, found.conventions),
        options=config.options,
    )
    return Packed(subnetwork, found.conventions, found.tied)


def _recipe(request: FileRequest, conventions: tuple[str, ...]) -> dict[str, str | float]:
    return {
        "tool": VERSION,
        "source": "state dict",
        "source_sha256": file_digest(request.path),
        "convention": ", ".join(conventions),
        **request.reading(),
    }


def _stage(request: FileRequest, taken: NetworkInput, packed: Packed) -> Stage:
    """The stage `pack` of this file: `inputs` also has how it is read, which no other setting says."""
    read = json.dumps([request.reading(), vars(taken)], sort_keys=True)

    def inputs(context: Context) -> dict[str, str]:
        return {FROM_FILE: file_digest(request.path), "read": read, **arch_input(context)}

    def work(context: Context) -> dict[str, Any]:
        from recycle_pipeline.exporters.ticket.writer import write_ticket

        words = ", ".join(packed.conventions)
        context.reporter.stage("pack", f"{request.path.name}: masks of {words}; store the ticket")
        if packed.tied:
            tie = f"{packed.tied} pruned scores equal the lowest that is kept"
            context.reporter.stage("pack", f"note: {tie}; of equals the last are kept")
        write_ticket(packed.subnetwork, context.folder.ticket)
        return pack_facts(packed.subnetwork, context.folder.ticket) | {
            "kept": packed.subnetwork.kept,
            "weights": packed.subnetwork.size,
            "file": request.path.name,
            "conventions": list(packed.conventions),
            "tied_scores": packed.tied,
            "command": command("pack", request.options(), [request.path.name]),
        }

    return Stage(
        "pack",
        schema=1,
        config_keys=("arch", "width", "activations", "batch_norm", "seed"),
        inputs=inputs,
        outputs=lambda context: [context.folder.ticket],
        work=work,
    )
