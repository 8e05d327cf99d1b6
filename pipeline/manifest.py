"""manifest.json: what each stage of a run read, did and wrote, and whether it can be skipped."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recycle_pipeline.exporters.atomic import write_text
from recycle_pipeline.models.errors import CorruptArtefact

SCHEMA = 1


@dataclass(frozen=True)
class StageEntry:
    """A finished stage.

    Attributes:
        key: hash of everything its result depends on.
        config: the settings it read.
        inputs: digests of contents it read, by name.
        outputs: SHA-256 of the files it wrote, by name within the folder.
        started: ISO 8601, UTC.
        seconds: how long it took.
        environment: versions and hardware.
        facts: what it found, in numbers.
    """

    key: str
    config: dict[str, Any]
    inputs: dict[str, str]
    outputs: dict[str, str]
    started: str
    seconds: float
    environment: dict[str, Any]
    facts: dict[str, Any]


@dataclass
class Manifest:
    """All finished stages of a run, by stage name."""

    stages: dict[str, StageEntry] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, "stages": {k: dataclasses.asdict(v) for k, v in self.stages.items()}}


def read_manifest(path: Path) -> Manifest:
    """The manifest at `path`; an empty one where there is no file.

    Raises:
        CorruptArtefact: it is not a manifest, or one of a later schema.
    """
    if not path.exists():
        return Manifest()
    if not path.is_file():  # reading a named pipe would wait for ever
        raise CorruptArtefact(f"{path} is no file; remove it to start the run again")
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["schema"] > SCHEMA:
            raise CorruptArtefact(
                f"{path} has schema {content['schema']}, this recycle-pipeline reads up to {SCHEMA}: "
                "install a newer one"
            )
        return Manifest({name: _entry(values) for name, values in content["stages"].items()})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptArtefact(
            f"{path} is damaged ({type(error).__name__}: {error}); remove it to start the run again"
        ) from error


def _entry(values: dict[str, Any]) -> StageEntry:
    entry = StageEntry(**values)
    kinds = {"key": str, "started": str, "seconds": int | float}
    for field_ in dataclasses.fields(StageEntry):
        if not isinstance(getattr(entry, field_.name), kinds.get(field_.name, dict)):
            raise TypeError(f"{field_.name} is a {type(getattr(entry, field_.name)).__name__}")
    if not all(isinstance(text, str) for text in (*entry.inputs.values(), *entry.outputs.values())):
        raise TypeError("a digest is not a text")
    for name in entry.outputs:
        if name.startswith("/") or ".." in name.split("/"):
            raise ValueError(f"{name!r} is not a file of the run folder")
    return entry


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Writes it atomically."""
    write_text(path, json.dumps(manifest.to_json(), indent=2) + "\n")


def stage_key(
    stage: str, schema: int, tool_version: str, config: dict[str, Any], inputs: dict[str, str]
) -> str:
    """Hash of a stage's name, its code's schema, the tool's version, its settings and its inputs' digests."""
    parts = [stage, schema, tool_version, config, inputs]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=list).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_if_there(path: Path) -> str | None:
    """The same, None where there is no file."""
    return file_digest(path) if path.is_file() else None
