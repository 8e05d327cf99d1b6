"""The bytes of a ticket to a Subnetwork. Trusts nothing: every way to be wrong is a CorruptArtefact."""

import hashlib
import json
import math
import zlib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket import layout
from recycle_pipeline.exporters.ticket.bits import decode_bits
from recycle_pipeline.exporters.ticket.fields import (
    choice,
    entries,
    float32_of,
    integer,
    number,
    options_of,
    scalars,
    text,
)
from recycle_pipeline.models.draws import INITS, MAX_SEED
from recycle_pipeline.models.errors import CorruptArtefact, UsageFault
from recycle_pipeline.models.options import DEFAULT_OPTIONS
from recycle_pipeline.models.subnetwork import MaskedTensor, Subnetwork, array_digest

Parts = dict[str, NDArray[np.generic]]


def load_ticket(path: Path | str) -> Subnetwork:
    """Reads a ticket and checks every part of it except the rebuilt weights (see `check_digests`).

    Raises:
        UsageFault: there is no such file.
        CorruptArtefact: the file is not a ticket, is damaged, or is of a later version; names the part.
    """
    return parse_ticket(_read(path), str(path))


def parse_ticket(content: bytes, name: str) -> Subnetwork:
    """The same from the file's bytes; `name` is used in messages."""
    header, parts = _open(content, name)
    _check_crcs(header, parts, name)
    try:
        return _subnetwork(header, parts, name)
    except (KeyError, TypeError, ValueError) as error:
        raise _corrupt(name, "header", f"{type(error).__name__}: {error}") from error


def stored_digests(path: Path | str) -> dict[str, str]:
    """The digests of the rebuilt arrays, by state name, as the ticket's header has them.

    Raises:
        UsageFault, CorruptArtefact: see `load_ticket`.
    """
    header, _ = _open(_read(path), str(path))
    return dict(header["digests"])


def read_verified(path: Path | str) -> tuple[Subnetwork, dict[str, NDArray[Any]]]:
    """Reads a ticket and rebuilds every array of the network's state, compared with its digest.

    Returns:
        The subnetwork, and its `arrays()`.

    Raises:
        UsageFault, CorruptArtefact: see `load_ticket`; or a rebuilt array is not the one that was stored.
    """
    content, name = _read(path), str(path)
    subnetwork = parse_ticket(content, name)
    arrays = subnetwork.arrays()
    check_digests(arrays, _open(content, name)[0]["digests"], name)
    return subnetwork, arrays


def check_digests(arrays: dict[str, NDArray[np.generic]], digests: dict[str, str], name: str) -> None:
    """Compares rebuilt arrays with the digests their ticket holds.

    Raises:
        CorruptArtefact: one differs, is missing or is too many; names it.
    """
    for extra in sorted(digests.keys() ^ arrays.keys()):
        raise _corrupt(name, extra, "the ticket's digests and its parts do not name the same arrays")
    for array_name, array in arrays.items():
        if array_digest(array) != digests[array_name]:
            raise _corrupt(name, array_name, "the rebuilt array is not the one that was stored")


def _read(path: Path | str) -> bytes:
    path = Path(path)
    if not path.is_file():
        raise UsageFault(f"no ticket at {path}: expected a file that `recycle-pipeline pack` wrote")
    return path.read_bytes()


def _open(content: bytes, name: str) -> tuple[dict[str, Any], Parts]:
    try:
        parts = safetensors.numpy.load(content)
        size = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + size]).get("__metadata__") or {}
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _corrupt(name, "container", f"not a whole safetensors file ({error})") from error
    if layout.METADATA_KEY not in metadata:
        raise _corrupt(name, "container", "a safetensors file, but not a ticket")
    return _header(metadata[layout.METADATA_KEY], name), parts


def _header(spelling: str, name: str) -> dict[str, Any]:
    try:
        outer = json.loads(spelling)
        header, stated = outer["header"], outer["sha256"]
        digest = hashlib.sha256(layout.canonical_json(header).encode()).hexdigest()
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _corrupt(name, "header", f"unreadable ({error})") from error
    if digest != stated:
        raise _corrupt(name, "header", "its SHA-256 does not match")
    if spelling != layout.canonical_json({"sha256": digest, "header": header}):
        raise _corrupt(name, "header", "not in its canonical spelling")
    if not isinstance(header, dict):
        raise _corrupt(name, "header", f"a {type(header).__name__} where an object is expected")
    version = header.get("version")
    if type(version) is int and version > layout.FORMAT_VERSION:
        raise CorruptArtefact(
            f"{name} is a ticket of version {version}; this recycle-pipeline reads up to version "
            f"{layout.FORMAT_VERSION}: install a newer one"
        )
    if type(version) is not int or version < layout.PLAIN_VERSION:
        expected = f"{layout.PLAIN_VERSION} or {layout.FORMAT_VERSION}"
        raise _corrupt(name, "header", f"version {version!r}, expected {expected}")
    if ("options" in header) != (version > layout.PLAIN_VERSION):
        raise _corrupt(name, "header", "options are of version 2, and version 2 is for options")
    for field, kind in (("crc32", int), ("digests", str)):
        table = header.get(field)
        if not isinstance(table, dict) or not all(type(value) is kind for value in table.values()):
            raise _corrupt(name, "header", f"{field} is not a table of {kind.__name__}")
    return header


def _check_crcs(header: dict[str, Any], parts: Parts, name: str) -> None:
    crcs = header["crc32"]
    for extra in sorted(crcs.keys() ^ parts.keys()):
        raise _corrupt(name, extra, "missing" if extra in crcs else "not announced by the header")
    for part, array in parts.items():
        if zlib.crc32(array.tobytes()) != crcs[part]:
            raise _corrupt(name, part, "its CRC-32 does not match")


def _subnetwork(header: dict[str, Any], parts: Parts, name: str) -> Subnetwork:
    choice(header["generator"], (layout.GENERATOR,))
    channels = integer(header["channels"], 1, layout.MAX_CHANNELS)
    kind = choice(header["subnetwork"], ("binary", "continuous"))
    layers = entries(header["layers"], 1, layout.MAX_LAYERS)
    names = [text(entry["name"]) for entry in layers]
    for layer, count in Counter(names).items():
        if count > 1:
            raise _corrupt(name, layer, f"{count} layers have this name")
    tensors = tuple(_tensor(entry, kind, parts, name) for entry in layers)
    _check_all_used(tensors, parts, name)
    return Subnetwork(
        arch=text(header["arch"]),
        classes=tuple(map(text, entries(header["classes"], 1, layout.MAX_CLASSES))),
        channels=channels,
        image_size=integer(header["image_size"], 1, layout.MAX_IMAGE_SIZE),
        mean=tuple(number(v, -1e30, 1e30) for v in entries(header["mean"], channels, channels)),
        std=tuple(number(v, 1e-30, 1e30) for v in entries(header["std"], channels, channels)),
        seed=integer(header["seed"], 0, MAX_SEED),
        kind=kind,
        prune=number(header["prune"], 0.0, 1.0),
        scope=choice(header["scope"], ("layer", "global")),
        recipe=scalars(header["recipe"]),
        tensors=tensors,
        state={k.removeprefix(layout.STATE): v for k, v in parts.items() if k.startswith(layout.STATE)},
        options=options_of(header["options"]) if "options" in header else DEFAULT_OPTIONS,
    )


def _tensor(entry: dict[str, Any], kind: str, parts: Parts, name: str) -> MaskedTensor:
    layer, shape = entry["name"], tuple(entries(entry["shape"], 1, layout.MAX_DIMENSIONS))
    most = layout.MAX_LAYER_WEIGHTS
    if any(type(n) is not int or not 1 <= n <= most for n in shape) or math.prod(shape) > most:
        raise _corrupt(name, layer, f"shape {shape} is not a weight's")
    size = math.prod(shape)
    mask = _bits(parts, layout.MASK + layer, size, name).reshape(shape)
    kept = int(np.count_nonzero(mask))
    if kept != integer(entry["kept"], 0, size):
        raise _corrupt(name, layout.MASK + layer, f"{kept} weights kept, the header says {entry['kept']}")
    gain = None if entry["gain"] is None else float32_of(entry["gain"])
    if (gain is not None) != (kind == "binary"):
        raise _corrupt(name, layer, "a binary subnetwork has gains, a continuous one has none")
    scale = float32_of(entry["scale"])
    if scale == 0:
        raise _corrupt(name, layer, "its scale is 0")
    plain = MaskedTensor(layer, choice(entry["init"], INITS), scale, mask, gain)
    if plain.sign_only:
        flips = _bits(parts, layout.FLIPS + layer, kept, name) if layout.FLIPS + layer in parts else None
        return replace(plain, flips=flips)
    draws: Any = parts.get(layout.DRAWS + layer)
    sources: Any = parts.get(layout.SOURCES + layer)
    if draws is not None or sources is not None:
        _check_provenance(draws, sources, kept, size, layer, name)
    return replace(plain, draws=draws, sources=sources)


def _check_all_used(tensors: tuple[MaskedTensor, ...], parts: Parts, name: str) -> None:
    """Every part belongs to a layer that reads it, or is state that stands in place of no masked weight."""
    masked = {f"{layout.STATE}{t.name}.weight" for t in tensors}
    left = set(parts)
    for tensor in tensors:
        kinds = (layout.FLIPS,) if tensor.sign_only else (layout.DRAWS, layout.SOURCES)
        left -= {kind + tensor.name for kind in (layout.MASK, *kinds)}
    for part in sorted(left):
        if not part.startswith(layout.STATE) or part in masked:
            raise _corrupt(name, part, "no layer reads it")


def _bits(parts: Parts, part: str, count: int, name: str) -> NDArray[np.bool_]:
    stream = parts.get(part)
    if stream is None or stream.dtype != np.uint8:
        raise _corrupt(name, part, "missing" if stream is None else f"dtype {stream.dtype}, expected uint8")
    try:
        return decode_bits(stream.view(np.uint8), count)
    except ValueError as error:
        raise _corrupt(name, part, str(error)) from error


def _check_provenance(
    draws: NDArray[Any] | None, sources: NDArray[Any] | None, kept: int, size: int, layer: str, name: str
) -> None:
    if draws is None or sources is None:
        raise _corrupt(name, layer, "draws and sources come together or not at all")
    if (
        draws.dtype != np.int16
        or sources.dtype != np.int32
        or draws.shape != (kept,)
        or sources.shape != (kept,)
    ):
        raise _corrupt(name, layer, f"draws and sources must be int16 and int32 of {kept} entries")
    if kept and (draws.min() < 0 or sources.min() < 0 or sources.max() >= size):
        raise _corrupt(name, layer, "a draw or source is out of range")


def _corrupt(name: str, part: str, what: str) -> CorruptArtefact:
    return CorruptArtefact(f"{name} is damaged, part {part!r}: {what}. Fetch or pack it again.")
