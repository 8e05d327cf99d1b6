"""What a stage is, and how one is run, skipped or forced."""

import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.models.registry import find_builder, is_custom
from recycle_pipeline.pipeline.config import RunConfig
from recycle_pipeline.pipeline.data import ImageSet, load
from recycle_pipeline.pipeline.data.searched import searched
from recycle_pipeline.pipeline.environment import describe_environment
from recycle_pipeline.pipeline.manifest import (
    Manifest,
    StageEntry,
    file_digest,
    read_manifest,
    stage_key,
    write_manifest,
)
from recycle_pipeline.pipeline.reporter import Reporter, Silent
from recycle_pipeline.pipeline.run_folder import RunFolder
from recycle_pipeline.pipeline.stages.sources import sources_digest
from recycle_pipeline.pipeline.together import Together
from recycle_pipeline.pipeline.version import VERSION

if TYPE_CHECKING:
    from recycle_pipeline.models.subnetwork import Subnetwork

ORDER = ("search", "pack", "export", "verify")


@dataclass
class Context:
    """What the stages of one call share.

    Attributes:
        config: resolved settings.
        folder: of the run.
        reporter: for progress.
        import_custom: whether `config.arch` came from the user and may be imported.
        together: the connection to the processes that search with this one; None in a process alone.
        check_folder: raises RecycleError where the folder was removed, or taken by another process.
        worked: names of the stages that did their work in this call, and were not skipped.
    """

    config: RunConfig
    folder: RunFolder
    reporter: Reporter = field(default_factory=Silent)
    import_custom: bool = False
    together: Together | None = None
    check_folder: Callable[[], None] = lambda: None
    worked: set[str] = field(default_factory=set)

    @cached_property
    def images(self) -> ImageSet:
        """The data set, loaded at first use."""
        config = self.config
        root = Path(config.data_root) if config.data_root else None
        return load(
            config.data,
            data_root=root,
            download=config.download,
            image_size=config.image_size,
            skip_unreadable=config.skip_unreadable,
            say=lambda text: self.reporter.stage("data", text),
        )

    @cached_property
    def searched_images(self) -> ImageSet:
        """What the search sees. Raises UsageFault if it cannot be had of this data."""
        return searched(self.images, self.config.hold_out, self.config.cutout or 0)


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    Attributes:
        name: on the command line and in the manifest.
        schema: raise it when the stage's code computes something else than before.
        config_keys: the settings its result depends on.
        inputs: digests of the contents it reads, by name.
        outputs: the files it writes.
        work: does it and returns facts for the manifest; outputs must appear whole or not at all.
        unsaid: settings that came after the first release, with the value that is theirs where nobody
            names them. Such a one is left out of everything that is stored or hashed, so that the same
            command still finds the same folder and writes the same ticket.
    """

    name: str
    schema: int
    config_keys: tuple[str, ...]
    inputs: Callable[[Context], dict[str, str]]
    outputs: Callable[[Context], list[Path]]
    work: Callable[[Context], dict[str, Any]]
    unsaid: Mapping[str, Any] = field(default_factory=dict)

    def settings(self, config: RunConfig) -> dict[str, Any]:
        """The settings this stage reads, as plain values."""
        values = config.to_dict()
        read = {key: values.get(key) for key in self.config_keys}
        return {
            key: value for key, value in read.items() if key not in self.unsaid or value != self.unsaid[key]
        }

    def differing(self, there: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
        """The settings in which two results of `settings` differ: name to (there, asked)."""
        pairs = {
            key: (there.get(key, self.unsaid.get(key)), asked.get(key, self.unsaid.get(key)))
            for key in self.config_keys
        }
        return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def input_file(context: Context, path: Path, maker: str) -> str:
    """Digest of a file an earlier stage made.

    Raises:
        UsageFault: it is not there; names the command that makes it.
    """
    if not path.is_file():
        root = context.folder.root
        again = f"search --config {context.folder.config} --output-dir {root}"
        command = again if maker == "search" else f"{maker} {root}"
        raise UsageFault(f"{path} is not there: run `recycle-pipeline {command}` first")
    return file_digest(path)


def check_data(context: Context, subnetwork: "Subnetwork") -> None:
    """Checks that the data set is one that the ticket's network takes and names.

    Raises:
        UsageFault: classes, channels or image size differ.
    """
    images = context.images
    there = (images.classes, images.channels, images.image_size)
    if there != (subnetwork.classes, subnetwork.channels, subnetwork.image_size):
        raise UsageFault(
            f"data set {images.name} has {len(images.classes)} classes and images of {images.channels} x "
            f"{images.image_size} px; the ticket was searched on {len(subnetwork.classes)} classes and "
            f"{subnetwork.channels} x {subnetwork.image_size} px, or on classes of other names or order"
        )


def arch_input(context: Context) -> dict[str, str]:
    """Digest of a custom architecture's sources (see `stages.sources`); empty for a registered one.

    Raises:
        UsageFault: it may not be, or cannot be, imported.
    """
    arch = context.config.arch
    if not is_custom(arch):
        return {}
    find_builder(arch, import_custom=context.import_custom)
    name = arch.partition(":")[0]
    return {"arch": sources_digest(name, getattr(sys.modules[name], "__file__", None))}


def run_stage(stage: Stage, context: Context, *, force: bool = False) -> StageEntry:
    """Runs a stage, or skips it where nothing it depends on changed and its outputs are intact."""
    manifest = read_manifest(context.folder.manifest)
    config, inputs = stage.settings(context.config), stage.inputs(context)
    key = stage_key(stage.name, stage.schema, VERSION, config, inputs)
    known = manifest.stages.get(stage.name)
    if known and known.key == key and not force and _intact(known, context.folder):
        context.reporter.stage(stage.name, "unchanged, skipped")
        _remove(context.folder.made_meanwhile(stage.name))
        return known
    if force:
        _remove(context.folder.made_meanwhile(stage.name))
    started, clock = datetime.now(UTC), time.perf_counter()
    facts = stage.work(context)
    context.worked.add(stage.name)
    context.check_folder()
    entry = StageEntry(
        key=key,
        config=config,
        inputs=inputs,
        outputs={context.folder.relative(p): file_digest(p) for p in stage.outputs(context)},
        started=started.isoformat(timespec="seconds"),
        seconds=round(time.perf_counter() - clock, 3),
        environment=describe_environment(),
        facts=facts,
    )
    if known is None or known.outputs != entry.outputs:
        _drop_what_is_stale(manifest, stage.name, entry, context.folder)
    manifest.stages[stage.name] = entry
    write_manifest(manifest, context.folder.manifest)
    _remove(context.folder.made_meanwhile(stage.name))  # last: killed before, the stage can still go on
    return entry


def _drop_what_is_stale(manifest: Manifest, stage: str, now: StageEntry, folder: RunFolder) -> None:
    """Drops entries and files of the later stages, from the first one on that read none of what is there now.

    One without an entry, such as the report of a missed gate, may be of anything, and is dropped too. Files
    go before the manifest is written: killed in between, the stage that made them is found unfinished.
    """
    made, stale = now.outputs, False
    for name in ORDER[ORDER.index(stage) + 1 :]:
        entry = manifest.stages.get(name)
        stale = stale or entry is None or not set(made.values()) & set(entry.inputs.values())
        if stale:
            manifest.stages.pop(name, None)
            _remove(folder.made_by(name))
        elif entry:
            made = entry.outputs


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _intact(entry: StageEntry, folder: RunFolder) -> bool:
    files = {folder.root / name: digest for name, digest in entry.outputs.items()}
    return all(path.is_file() and file_digest(path) == digest for path, digest in files.items())
