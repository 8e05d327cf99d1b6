"""What a stage is, and how one is run, skipped or forced."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.config import RunConfig
from recycle_pipeline.pipeline.data import ImageSet, load
from recycle_pipeline.pipeline.environment import describe_environment
from recycle_pipeline.pipeline.manifest import (
    StageEntry,
    file_digest,
    read_manifest,
    stage_key,
    write_manifest,
)
from recycle_pipeline.pipeline.reporter import Reporter, Silent
from recycle_pipeline.pipeline.run_folder import RunFolder
from recycle_pipeline.pipeline.version import VERSION


@dataclass
class Context:
    """What the stages of one call share.

    Attributes:
        config: resolved settings.
        folder: of the run.
        reporter: for progress.
        import_custom: whether `config.arch` came from the user and may be imported.
    """

    config: RunConfig
    folder: RunFolder
    reporter: Reporter = field(default_factory=Silent)
    import_custom: bool = False

    @cached_property
    def images(self) -> ImageSet:
        """The data set, loaded at first use."""
        config = self.config
        root = Path(config.data_root) if config.data_root else None
        return load(config.data, data_root=root, download=config.download, image_size=config.image_size)


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
    """

    name: str
    schema: int
    config_keys: tuple[str, ...]
    inputs: Callable[[Context], dict[str, str]]
    outputs: Callable[[Context], list[Path]]
    work: Callable[[Context], dict[str, Any]]

    def settings(self, config: RunConfig) -> dict[str, Any]:
        """The settings this stage reads, as plain values."""
        values = config.to_dict()
        return {key: values.get(key) for key in self.config_keys}


def input_file(path: Path, maker: str) -> str:
    """Digest of a file an earlier stage made.

    Raises:
        UsageFault: it is not there; names the command that makes it.
    """
    if not path.is_file():
        raise UsageFault(f"{path} is not there: run `recycle-pipeline {maker} {path.parent}` first")
    return file_digest(path)


def run_stage(stage: Stage, context: Context, *, force: bool = False) -> StageEntry:
    """Runs a stage, or skips it where nothing it depends on changed and its outputs are intact."""
    manifest = read_manifest(context.folder.manifest)
    config, inputs = stage.settings(context.config), stage.inputs(context)
    key = stage_key(stage.name, stage.schema, VERSION, config, inputs)
    known = manifest.stages.get(stage.name)
    if known and known.key == key and not force and _intact(known, context.folder):
        context.reporter.stage(stage.name, "unchanged, skipped")
        return known
    started, clock = datetime.now(UTC), time.perf_counter()
    facts = stage.work(context)
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
    manifest.stages[stage.name] = entry
    write_manifest(manifest, context.folder.manifest)
    return entry


def _intact(entry: StageEntry, folder: RunFolder) -> bool:
    files = {folder.root / name: digest for name, digest in entry.outputs.items()}
    return all(path.is_file() and file_digest(path) == digest for path, digest in files.items())
