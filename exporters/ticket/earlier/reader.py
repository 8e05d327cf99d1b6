"""Parts of versions 1 and 2 to a Subnetwork. Trusts nothing: every way to be wrong is a TicketFault."""

import math
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket import layout as limits
from recycle_pipeline.exporters.ticket.container import Container, Parts
from recycle_pipeline.exporters.ticket.earlier import layout
from recycle_pipeline.exporters.ticket.earlier.bits import decode_bits
from recycle_pipeline.exporters.ticket.faults import HeaderFault, LimitFault, PartFault
from recycle_pipeline.exporters.ticket.fields import choice, entries, float32_of, integer, subnetwork_of, text
from recycle_pipeline.models.draws import INITS
from recycle_pipeline.models.subnetwork import MaskedTensor, Subnetwork

LATEST = layout.OPTIONS_VERSION


def subnetwork_in(container: Container) -> Subnetwork:
    """The subnetwork that a ticket of version 1 or 2 holds.

    Raises:
        TicketFault: the header or a part is not as it must be; names it.
    """
    header, parts, name = _checked(container), container.parts, container.name
    _check_crcs(header, parts, name)
    try:
        tensors = _tensors(header, parts, name)
        _check_all_used(tensors, parts, name)
        state = {k.removeprefix(layout.STATE): v for k, v in parts.items() if k.startswith(layout.STATE)}
        return subnetwork_of(header, tensors, state)
    except (KeyError, TypeError, ValueError) as error:
        raise HeaderFault(name, "header", f"{type(error).__name__}: {error}") from error


def digests_in(container: Container) -> dict[str, str]:
    """The digests of the rebuilt arrays, by state name."""
    return dict(_checked(container)["digests"])


def sizes_in(container: Container, layers: Iterable[str]) -> tuple[dict[str, float], int]:
    """Bytes of each layer's streams, and of the state."""
    sizes = {part: array.nbytes for part, array in container.parts.items()}
    state = sum(size for part, size in sizes.items() if part.startswith(layout.STATE))
    return {n: float(sum(sizes.get(kind + n, 0) for kind in layout.OF_A_LAYER)) for n in layers}, state


def _checked(container: Container) -> dict[str, Any]:
    header, name = container.head, container.name
    if ("options" in header) != (container.version > layout.PLAIN_VERSION):
        raise HeaderFault(name, "header", "options are of version 2, and version 2 is for options")
    for field, kind in (("crc32", int), ("digests", str)):
        table = header.get(field)
        if not isinstance(table, dict) or not all(type(value) is kind for value in table.values()):
            raise HeaderFault(name, "header", f"{field} is not a table of {kind.__name__}")
    return header


def _check_crcs(header: dict[str, Any], parts: Parts, name: str) -> None:
    crcs = header["crc32"]
    for extra in sorted(crcs.keys() ^ parts.keys()):
        raise PartFault(name, extra, "missing" if extra in crcs else "not announced by the header")
    for part, array in parts.items():
        if zlib.crc32(array.tobytes()) != crcs[part]:
            raise PartFault(name, part, "its CRC-32 does not match")


def _tensors(header: dict[str, Any], parts: Parts, name: str) -> tuple[MaskedTensor, ...]:
    kind = choice(header["subnetwork"], ("binary", "continuous"))
    layers = entries(header["layers"], 1, limits.MAX_LAYERS)
    for layer, count in Counter(text(entry["name"]) for entry in layers).items():
        if count > 1:
            raise HeaderFault(name, layer, f"{count} layers have this name")
    return tuple(_tensor(entry, kind, parts, name) for entry in layers)


def _tensor(entry: dict[str, Any], kind: str, parts: Parts, name: str) -> MaskedTensor:
    layer, shape = entry["name"], tuple(entries(entry["shape"], 1, limits.MAX_DIMENSIONS))
    most = limits.MAX_LAYER_WEIGHTS
    if any(type(n) is not int or not 1 <= n <= most for n in shape) or math.prod(shape) > most:
        raise LimitFault(name, layer, f"shape {shape} is not a weight's")
    size = math.prod(shape)
    mask = _bits(parts, layout.MASK + layer, size, name).reshape(shape)
    kept = int(np.count_nonzero(mask))
    if kept != integer(entry["kept"], 0, size):
        raise PartFault(name, layout.MASK + layer, f"{kept} weights kept, the header says {entry['kept']}")
    gain = None if entry["gain"] is None else float32_of(entry["gain"])
    if (gain is not None) != (kind == "binary"):
        raise HeaderFault(name, layer, "a binary subnetwork has gains, a continuous one has none")
    scale = float32_of(entry["scale"])
    if scale == 0:
        raise HeaderFault(name, layer, "its scale is 0")
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
            raise PartFault(name, part, "no layer reads it")


def _bits(parts: Parts, part: str, count: int, name: str) -> NDArray[np.bool_]:
    stream = parts.get(part)
    if stream is None or stream.dtype != np.uint8:
        raise PartFault(name, part, "missing" if stream is None else f"dtype {stream.dtype}, expected uint8")
    try:
        return decode_bits(stream.view(np.uint8), count)
    except ValueError as error:
        raise PartFault(name, part, str(error)) from error


def _check_provenance(
    draws: NDArray[Any] | None, sources: NDArray[Any] | None, kept: int, size: int, layer: str, name: str
) -> None:
    if draws is None or sources is None:
        raise PartFault(name, layer, "draws and sources come together or not at all")
    if (
        draws.dtype != np.int16
        or sources.dtype != np.int32
        or draws.shape != (kept,)
        or sources.shape != (kept,)
    ):
        raise PartFault(name, layer, f"draws and sources must be int16 and int32 of {kept} entries")
    if kept and (draws.min() < 0 or sources.min() < 0 or sources.max() >= size):
        raise PartFault(name, layer, "a draw or source is out of range")
