"""Readers that are fed: from what files they start, how those are changed, and what reading them means."""

import io
import json
import random
import shutil
import tomllib
import zipfile
from collections.abc import Callable, MutableSequence, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from fuzzing.changes import NUMBERS, changed_bytes, changed_json

import recycle_pipeline.pipeline as package
from recycle_pipeline.models.errors import RecycleError

PIPELINE = Path(package.__file__).parent
Change = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        seeds: names and contents of files to start from, given a folder to work in.
        change: one file to another.
        read: does with a file what a command does; raises RecycleError or OSError where it refuses it.
        code: files and folders whose lines count.
    """

    seeds: Callable[[Path], Sequence[tuple[str, bytes]]]
    change: Change
    read: Callable[[Path], None]
    code: tuple[str, ...]


def _config_seeds(work: Path) -> list[tuple[str, bytes]]:
    from recycle_pipeline.pipeline.config import RunConfig

    configs = (
        RunConfig(),
        RunConfig().resolve(),
        RunConfig(preset="iwr-conv6-biprop", data="cifar10").resolve(),
    )
    return [("config.toml", tomli_w.dumps(config.to_dict()).encode()) for config in configs]


def _changed_toml(content: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.3:
        return changed_bytes(content, rng)
    try:
        return tomli_w.dumps(changed_json(tomllib.loads(content.decode()), rng)).encode()
    except (ValueError, TypeError, AttributeError, RecursionError):
        return changed_bytes(content, rng)


def _read_config(path: Path) -> None:
    from recycle_pipeline.pipeline.config_file import read_config_file, read_run_config
    from recycle_pipeline.pipeline.given import config_from

    read_run_config(path)
    config_from(read_config_file(path)).resolve()


def _run_seeds(work: Path) -> list[tuple[str, bytes]]:
    """Of a finished run: manifest, metrics and the numbers of verify."""
    from recycle_pipeline.pipeline.api import run

    root = work / "run"
    if not (root / "verify.json").is_file():
        run(arch="conv2", width=0.25, epochs=1, output_dir=root)
    return [(name, (root / name).read_bytes()) for name in ("manifest.json", "metrics.jsonl", "verify.json")]


def _changed_lines(content: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.2:
        return changed_bytes(content, rng)
    try:
        return json.dumps(changed_json(json.loads(content), rng)).encode()
    except (ValueError, RecursionError):
        return changed_bytes(content, rng)


def _read_run(path: Path) -> None:
    """As the report does, with the file in the place of the run's own."""
    from recycle_pipeline.pipeline.manifest import read_manifest
    from recycle_pipeline.pipeline.report.write import report_text

    root = path.parent / "changed"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(path.parent / "run", root)
    shutil.copy(path, root / path.name)
    read_manifest(root / "manifest.json")
    report_text([root], "html")


def _model_seeds(work: Path) -> list[tuple[str, bytes]]:
    from recycle_pipeline.pipeline.api import run

    root = work / "models"
    if not (root / "verify.json").is_file():
        run(arch="conv2", width=0.125, epochs=1, export="onnx,onnx-compact", output_dir=root)
    return [("model.onnx", path.read_bytes()) for path in sorted((root / "onnx").iterdir())]


def _changed_model(content: bytes, rng: random.Random) -> bytes:
    import onnx

    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except Exception:  # protobuf's own
        return changed_bytes(content, rng)
    if rng.random() < 0.2:
        return changed_bytes(content, rng)
    for _ in range(rng.choice((1, 1, 2))):
        _change_field(model, rng)
    return bytes(model.SerializeToString())


def _change_field(message: Any, rng: random.Random) -> None:
    """One field of a protobuf message, or of one within."""
    while True:
        fields = message.ListFields()
        if not fields:
            return
        field, value = rng.choice(fields)
        repeated = isinstance(value, MutableSequence)
        inner = list(value) if repeated else [value]
        if field.message_type is not None and rng.random() < 0.95:
            message = rng.choice(inner)
            continue
        if field.message_type is not None:
            if repeated and rng.random() < 0.5:
                del value[rng.randrange(len(value))]
            elif repeated:
                value.add().CopyFrom(rng.choice(inner))
            else:
                message.ClearField(field.name)
            return
        other = _other_value(rng.choice(inner), rng)
        try:
            if repeated:
                value[rng.randrange(len(value))] = other
            else:
                setattr(message, field.name, other)
        except (TypeError, ValueError):
            message.ClearField(field.name)
        return


def _other_value(value: Any, rng: random.Random) -> Any:
    if isinstance(value, bytes):
        return changed_bytes(value, rng)
    if isinstance(value, str):
        return rng.choice(["", "../secret", "/etc/passwd", "x" * 300, value + "é", value[::-1]])
    if isinstance(value, float):
        return rng.choice([0.0, -1.0, 1e38, float("nan"), float("inf")])
    return rng.choice([value + 1, value - 1, -value, *(number for number in NUMBERS if abs(number) < 2**63)])


def _read_model(path: Path) -> None:
    from recycle_pipeline.evaluators.session import open_session

    model = open_session(path, "cpu", threads=1)
    shape = [2 if size is None else min(abs(size), 64) for size in model.input_shape]
    model.predict(np.zeros(shape, model.input_dtype))


def _state_seeds(work: Path) -> list[tuple[str, bytes]]:
    import torch
    from safetensors.torch import save

    state = {"a.weight": torch.ones(2, 3), "a.bias": torch.zeros(2), "n": torch.tensor(3)}
    found = [("weights.safetensors", save(state))]
    for content, new in (
        (state, True),
        ({"state_dict": state, "epoch": 3, "args": ["a", 0.1, None]}, True),
        (state, False),
    ):
        torch.save(content, file := io.BytesIO(), _use_new_zipfile_serialization=new)
        found.append(("weights.pt", file.getvalue()))
    return found


def _changed_state(content: bytes, rng: random.Random) -> bytes:
    """Within a zip an entry's content, so that its sums are right again."""
    if rng.random() < 0.3:
        return changed_bytes(content, rng)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as old:
            entries = [(entry.filename, old.read(entry)) for entry in old.infolist()]
    except Exception:  # zipfile raises anything
        return changed_bytes(content, rng)
    place = rng.randrange(len(entries))
    if rng.random() < 0.7:
        place = next((n for n, (name, _) in enumerate(entries) if name.endswith("data.pkl")), place)
    name, inner = entries[place]
    entries[place] = (name, changed_bytes(inner, rng))
    if rng.random() < 0.05:
        entries[place] = (rng.choice(["../evil", "/evil", ""]) + name, inner)
    with zipfile.ZipFile(file := io.BytesIO(), "w") as new:
        for name, inner in entries:
            new.writestr(zipfile.ZipInfo(name or "x"), inner)
    return file.getvalue()


def _read_state(path: Path) -> None:
    from recycle_pipeline.pipeline.importing.state_files import read_state_dict

    read_state_dict(path)


def _of_torch() -> str:
    import torch._weights_only_unpickler as unpickler

    return str(unpickler.__file__)


TARGETS = {
    "config": Target(
        _config_seeds,
        _changed_toml,
        _read_config,
        tuple(
            str(PIPELINE / name)
            for name in ("config_file.py", "config.py", "given.py", "checks.py", "defaults.py")
        ),
    ),
    "run": Target(
        _run_seeds, _changed_lines, _read_run, (str(PIPELINE / "manifest.py"), str(PIPELINE / "report"))
    ),
    "model": Target(_model_seeds, _changed_model, _read_model, (str(PIPELINE.parent / "evaluators"),)),
    "state": Target(_state_seeds, _changed_state, _read_state, (str(PIPELINE / "importing"), _of_torch())),
}
REFUSALS = (RecycleError, OSError)
