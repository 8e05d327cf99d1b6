"""The bytes of a ticket to a Subnetwork. Trusts nothing: every way to be wrong is a CorruptArtefact."""

import hashlib
import json
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket import layout
from recycle_pipeline.exporters.ticket.bits import decode_bits
from recycle_pipeline.models.draws import INITS, MAX_SEED
from recycle_pipeline.models.errors import CorruptArtefact, UsageFault
from recycle_pipeline.models.subnetwork import MaskedTensor, Subnetwork, array_digest

Parts = dict[str, NDArray[np.generic]]


def load_ticket(path: Path | str) -> Subnetwork:
    """Reads a ticket and checks every part of it except the rebuilt weights (see `check_digests`).

    Raises:
        UsageFault: there is no such file.
        CorruptArtefact: the file is not a ticket, is damaged, or is of a later version; names the part.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageFault(f"no ticket at {path}: expected a file that `recycle-pipeline pack` wrote")
    return parse_ticket(path.read_bytes(), str(path))


def parse_ticket(content: bytes, name: str) -> Subnetwork:
    """The same from the file's bytes; `name` is used in messages."""
    header, parts = _open(content, name)
    _check_crcs(header, parts, name)
    try:
        tensors = tuple(_tensor(entry, header, parts, name) for entry in header["layers"])
        state = {k.removeprefix(layout.STATE): v for k, v in parts.items() if k.startswith(layout.STATE)}
        return Subnetwork(
            arch=str(header["arch"]),
            classes=tuple(map(str, header["classes"])),
            channels=int(header["channels"]),
            image_size=int(header["image_size"]),
            mean=tuple(map(float, header["mean"])),
            std=tuple(map(float, header["std"])),
            seed=_seed(header["seed"], name),
            kind=_choice(header["subnetwork"], ("binary", "continuous"), "subnetwork", name),
            prune=float(header["prune"]),
            scope=_choice(header["scope"], ("layer", "global"), "scope", name),
            tensors=tensors,
            state=state,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _corrupt(name, "header", f"{type(error).__name__}: {error}") from error


def stored_digests(path: Path | str) -> dict[str, str]:
    """The digests of the rebuilt arrays, by state name, as the ticket's header has them."""
    header, _ = _open(Path(path).read_bytes(), str(path))
    return dict(header["digests"])


def check_digests(arrays: dict[str, NDArray[np.generic]], digests: dict[str, str], name: str) -> None:
    """Compares rebuilt arrays with the digests their ticket holds.

    Raises:
        CorruptArtefact: one differs, is missing or is too many; names it.
    """
    for extra in digests.keys() ^ arrays.keys():
        raise _corrupt(name, extra, "the ticket's digests and its parts do not name the same arrays")
    for array_name, array in arrays.items():
        if array_digest(array) != digests[array_name]:
            raise _corrupt(name, array_name, "the rebuilt array is not the one that was stored")


def _open(content: bytes, name: str) -> tuple[dict[str, Any], Parts]:
    try:
        parts = safetensors.numpy.load(content)
        size = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + size]).get("__metadata__", {})
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _corrupt(name, "container", f"not a whole safetensors file ({error})") from error
    if layout.METADATA_KEY not in metadata:
        raise _corrupt(name, "container", "a safetensors file, but not a ticket")
    try:
        outer = json.loads(metadata[layout.METADATA_KEY])
        header, stated = outer["header"], outer["sha256"]
        digest = hashlib.sha256(layout.canonical_json(header).encode()).hexdigest()
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _corrupt(name, "header", f"unreadable ({error})") from error
    if digest != stated:
        raise _corrupt(name, "header", "its SHA-256 does not match")
    if header.get("version") != layout.FORMAT_VERSION:
        raise CorruptArtefact(
            f"{name} is a ticket of version {header.get('version')}; this recycle-pipeline reads up to "
            f"version {layout.FORMAT_VERSION}: install a newer one"
        )
    return header, parts


def _check_crcs(header: dict[str, Any], parts: Parts, name: str) -> None:
    crcs = header.get("crc32", {})
    for extra in sorted(crcs.keys() ^ parts.keys()):
        raise _corrupt(name, extra, "missing" if extra in crcs else "not announced by the header")
    for part, array in parts.items():
        if zlib.crc32(array.tobytes()) != crcs[part]:
            raise _corrupt(name, part, "its CRC-32 does not match")


def _tensor(entry: dict[str, Any], header: dict[str, Any], parts: Parts, name: str) -> MaskedTensor:
    layer, shape = str(entry["name"]), tuple(int(n) for n in entry["shape"])
    size = math.prod(shape)
    if not shape or min(shape) < 1 or size > layout.MAX_LAYER_WEIGHTS:
        raise _corrupt(name, layer, f"shape {shape} is not a weight's")
    mask = _bits(parts, layout.MASK + layer, size, name).reshape(shape)
    kept = int(np.count_nonzero(mask))
    if kept != entry["kept"]:
        raise _corrupt(name, layout.MASK + layer, f"{kept} weights kept, the header says {entry['kept']}")
    flips = _bits(parts, layout.FLIPS + layer, kept, name) if layout.FLIPS + layer in parts else None
    draws, sources = parts.get(layout.DRAWS + layer), parts.get(layout.SOURCES + layer)
    if draws is not None or sources is not None:
        _check_provenance(draws, sources, kept, size, layer, name)
    gain = None if entry["gain"] is None else float32_of(entry["gain"])
    if (gain is not None) != (header["subnetwork"] == "binary"):
        raise _corrupt(name, layer, "a binary subnetwork has gains, a continuous one has none")
    init = _choice(entry["init"], INITS, "init", name)
    scale = float32_of(entry["scale"])
    return MaskedTensor(layer, init, scale, mask, gain, flips, draws, sources)  # type: ignore[arg-type]


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


def _seed(value: Any, name: str) -> int:
    if not isinstance(value, int) or not 0 <= value <= MAX_SEED:
        raise _corrupt(name, "header", f"seed {value!r} is out of range")
    return value


def _choice(value: Any, choices: tuple[Any, ...], field: str, name: str) -> Any:
    if value not in choices:
        raise _corrupt(name, "header", f"{field} is {value!r}, expected one of {', '.join(choices)}")
    return value


def float32_of(digits: str) -> np.float32:
    """The inverse of `writer.float32_hex`; finite values only.

    Raises:
        ValueError: not eight hexadecimal digits of a finite float32.
    """
    if not isinstance(digits, str) or len(digits) != 8:
        raise ValueError(f"{digits!r} is not a float32 in hexadecimal")
    value = np.uint32(int(digits, 16)).view(np.float32)
    if not np.isfinite(value):
        raise ValueError(f"{digits!r} is not a finite float32")
    return np.float32(value)


def _corrupt(name: str, part: str, what: str) -> CorruptArtefact:
    return CorruptArtefact(f"{name} is damaged, part {part!r}: {what}. Fetch or pack it again.")
