"""What lies in a folder after a kill and in the end, beside what an undisturbed command leaves."""

import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recycle_pipeline.exporters.atomic import TEMPORARY_MARK
from recycle_pipeline.models.errors import CorruptArtefact
from recycle_pipeline.pipeline.card import refresh_card
from recycle_pipeline.pipeline.manifest import file_digest, read_manifest
from recycle_pipeline.pipeline.report.write import _stamp
from recycle_pipeline.pipeline.reporter import Silent
from recycle_pipeline.pipeline.run_folder import RunFolder
from recycle_pipeline.pipeline.search.checkpoint import read_checkpoint

TIMES = {"seconds", "images_per_second", "started", "environment", "machine", "conditions"}
TIMED = {"latency", "latency_ms", "dense_twin_ms", "latency_ratio", "latency_n", "same_shapes_ms"}
TIMED |= {"speed", "same_shapes_ratio", "ratio", "low", "high", "ms", "dense_ms", "measured"}
TIMED |= {f"{name}{end}_ms" for name in ("median", "latency", "dense_twin") for end in ("", "_low", "_high")}
TIMED |= {"same_shapes_low", "same_shapes_high", "same_shapes_n"}
WITH_TIMES = ("metrics.jsonl", "verify.json")  # their digests differ


def stages_done(root: Path, whole: Path) -> list[str]:
    """Stages that need not be done again.

    They are in the manifest with the settings and inputs that they have in the end, and their files are as it
    says.
    """
    manifest, end = (read_manifest(each / "manifest.json").stages for each in (root, whole))
    return [
        name
        for name, entry in manifest.items()
        if name in end
        and entry.key == end[name].key
        and all(_digest(root / file) == digest for file, digest in entry.outputs.items())
    ]


def half_written(root: Path, wholes: Sequence[Path]) -> list[str]:
    """Files under their final names that are not whole.

    Args:
        root: of the run folder, which may not be there.
        wholes: run folders that hold what a whole file may be.
    """
    wrong = []
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if not path.is_file() or TEMPORARY_MARK in name or name == ".lock":
            continue
        try:
            _require_whole(path, [whole / name for whole in wholes])
        except (ValueError, CorruptArtefact) as error:
            wrong.append(f"{name} is not whole: {error}")
    return wrong


def _require_whole(path: Path, wholes: Sequence[Path]) -> None:
    if path.name == "checkpoint.safetensors":
        read_checkpoint(path)
    elif path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix == ".toml":
        tomllib.loads(path.read_text())
    elif path.name == "metrics.jsonl":
        [json.loads(line) for line in path.read_text().splitlines()]
    elif path.suffix in (".safetensors", ".onnx"):
        if not any(whole.is_file() and whole.read_bytes() == path.read_bytes() for whole in wholes):
            raise ValueError("neither what was there nor what comes")
    elif path.name == "report.html" and "<!-- of " not in path.read_text()[-120:]:
        raise ValueError("it has no last line")


def differences(here: Path, whole: Path) -> list[str]:
    """How a folder differs from the undisturbed one, times aside; what lies beside the run counts too."""
    mine, theirs = (
        {_name(path, root): path for path in sorted(root.rglob("*")) if path.is_file()}
        for root in (here, whole)
    )
    wrong = [f"{name} is left" for name in sorted(mine.keys() - theirs.keys())]
    wrong += [f"{name} is missing" for name in sorted(theirs.keys() - mine.keys())]
    if wrong:
        return wrong
    for name in sorted(mine):
        one, other = _normal(mine[name]), _normal(theirs[name])
        if one != other:
            wrong.append(f"{name} differs{_where(one, other)}")
    return wrong + _stale_pages(RunFolder(here / "run"))


def _where(one: Any, other: Any) -> str:
    """The first place in which two JSON values differ."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return next(f".{k}{_where(one[k], other[k])}" for k in one if one[k] != other[k])
    return "" if isinstance(one, bytes) else f": {str(one)[:60]}, not {str(other)[:60]}"


def _stale_pages(folder: RunFolder) -> list[str]:
    """Card and report, which hold times: they must be of what lies beside them."""
    before = folder.card.read_bytes()
    refresh_card(folder, Silent())
    wrong = [] if folder.card.read_bytes() == before else ["README.md is of another state"]
    if folder.report.is_file() and not folder.report.read_text().endswith(_stamp(folder)):
        wrong.append("report.html is of another state")
    return wrong


def _normal(path: Path) -> Any:
    if path.name in ("report.html", "README.md"):
        return None  # see `_stale_pages`
    if path.name == "metrics.jsonl":
        return [_without_times(json.loads(line)) for line in path.read_text().splitlines()]
    if path.name == "manifest.json":
        content = _without_times(json.loads(path.read_text()))
        for stage in content["stages"].values():
            for name in WITH_TIMES:
                if name in stage["outputs"]:
                    stage["outputs"][name] = None
        return content
    if path.suffix == ".json":
        return _without_times(json.loads(path.read_text()))
    return path.read_bytes()


def _without_times(content: Any) -> Any:
    if isinstance(content, dict) and content.get("name") in ("max_slowdown",):
        return content["name"]  # a verdict on times
    if isinstance(content, dict):
        return {k: _without_times(v) for k, v in content.items() if k not in TIMES | TIMED}
    return [_without_times(v) for v in content] if isinstance(content, list) else content


def _name(path: Path, root: Path) -> str:
    """Within the folder; decoded images are kept under a key that is of when files were made."""
    name = path.relative_to(root).as_posix()
    return re.sub(r"\b[0-9a-f]{32}\b", "KEY", name)


def _digest(path: Path) -> str | None:
    return file_digest(path) if path.is_file() else None
