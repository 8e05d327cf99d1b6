"""A stored baseline as a file: read with every number looked at, because a verdict will rest on them."""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recycle_pipeline.evaluators.blocks import Contrast
from recycle_pipeline.evaluators.setting import TRANSFERS, Setting
from recycle_pipeline.evaluators.stored import KIND, SCHEMA, Stored
from recycle_pipeline.models.errors import CorruptArtefact, UsageFault

SHA256 = re.compile("[0-9a-f]{64}")
FAULTS = (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError, OverflowError)


def read_stored(path: Path) -> Stored:
    """Reads a stored baseline; keys that are not known are passed over, as its schema promises.

    Raises:
        UsageFault: no such file, or one of another version.
        CorruptArtefact: it is no stored baseline, or damaged.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
        if found["kind"] != KIND:
            raise ValueError(f"it is a {found['kind']!r}")
        if found["schema"] != SCHEMA:
            raise UsageFault(
                f"{path} has schema {found['schema']!r}, and this version reads {SCHEMA}; store it again."
            )
        return _stored(found)
    except OSError as error:
        raise UsageFault(
            f"{path} cannot be read ({error.strerror}); give an ONNX file or what --save wrote."
        ) from error
    except FAULTS as error:
        raise CorruptArtefact(
            f"{path} is no stored baseline ({type(error).__name__}: {error}); write it with "
            "`recycle-pipeline gate --candidate MODEL.onnx --save FILE.json`."
        ) from error


def _stored(found: Mapping[str, Any]) -> Stored:
    model_ms, reference_ms = (_number(each, above=0.0) for each in found["median_ms"])
    memory = tuple(_count(each) for each in found["memory"])
    if not memory:
        raise ValueError("memory holds no value")
    cpu, runtime = (_text(each) for each in found["machine"])
    return Stored(
        model=_file(found["model"]),
        reference=_file(found["reference"]),
        setting=_setting(found["setting"]),
        contrasts={name: _contrasts(name, found["contrasts"][name]) for name in ("latency", "load")},
        median_ms=(model_ms, reference_ms),
        memory=memory,
        machine=(cpu, runtime),
        date=_text(found["date"]),
    )


def _contrasts(name: str, some: Any) -> list[Contrast]:
    read = [Contrast(_number(each["between"]), _number(each["within"])) for each in some]
    if not read:
        raise ValueError(f"{name} holds no block")
    return read


def _file(found: Mapping[str, Any]) -> dict[str, Any]:
    if not SHA256.fullmatch(_text(found["sha256"])):
        raise ValueError(f"{found['sha256']!r} is no SHA-256")
    return {"path": _text(found["path"]), "bytes": _count(found["bytes"]), "sha256": found["sha256"]}


def _setting(found: Mapping[str, Any]) -> Setting:
    if found["transfers"] not in TRANSFERS:
        raise ValueError(f"transfers {found['transfers']!r}")
    return Setting(
        provider=_text(found["provider"]),
        threads=_count(found["threads"]),
        batch=_count(found["batch"]),
        transfers=found["transfers"],
    )


def _number(value: Any, above: float = -math.inf) -> float:
    """A finite number of JSON; its readers also take NaN, which would pass through every comparison."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{_short(value)} is no number")
    if not math.isfinite(value) or value <= above:
        raise ValueError(f"{_short(value)} is no number that can be here")
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise ValueError(f"{_short(value)} is no count")
    return value


def _short(value: Any) -> str:
    return repr(value)[:40]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{_short(value)} is no text")
    return value
