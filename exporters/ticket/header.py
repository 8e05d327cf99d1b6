"""The header of versions 3 and 4: to checked values, before any memory is taken for weights."""

import hashlib
import json
import math
import zlib
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from recycle_pipeline.exporters.ticket import layout, origins
from recycle_pipeline.exporters.ticket.container import Container
from recycle_pipeline.exporters.ticket.contexts.stored import Numbers
from recycle_pipeline.exporters.ticket.faults import HeaderFault, LimitFault, PartFault
from recycle_pipeline.exporters.ticket.fields import (
    choice,
    digest,
    entries,
    float32_of,
    integer,
    keys,
    short_text,
)
from recycle_pipeline.models.draws import INITS, Init

FIELDS = {
    *("arch", "classes", "channels", "image_size", "mean", "std", "seed", "subnetwork", "prune", "scope"),
    *("generator", "recipe", "layers", "tallies", "masks", "moved", "sources", "state", "planes"),
}
LAYER_FIELDS = {"name", "shape", "kept", "init", "scale", "gain", "context", "moved"}
# Version 4 has the digests elsewhere, as bytes.
STATE_DIGEST, LAYER_DIGEST = "state_sha256", "sha256"


@dataclass(frozen=True)
class Layer:
    """What the header says of a layer, see `MaskedTensor`.

    `moved` is None where none did; `sha256` in version 4, which has it elsewhere.
    """

    name: str
    shape: tuple[int, ...]
    size: int
    kept: int
    init: Init
    scale: np.float32
    gain: np.float32 | None
    sha256: str | None
    context: Numbers
    moved: Numbers | None

    @property
    def sign_only(self) -> bool:
        return self.gain is not None or self.init == "signed_constant"


@dataclass(frozen=True)
class Header:
    """All it says, as JSON; and the layers."""

    said: dict[str, Any]
    layers: tuple[Layer, ...]


def header_in(container: Container) -> Header:
    """The header of a ticket of version 3 or 4.

    Raises:
        HeaderFault: it is not as it must be.
        LimitFault: it claims more than a ticket may hold.
        PartFault: the file has other parts than it says.
    """
    said, staged = _inflated(container), container.version > layout.UNSTAGED_VERSION
    try:
        keys(said, FIELDS if staged else FIELDS | {STATE_DIGEST}, {"options"})
        layers = tuple(_layer(entry, container) for entry in entries(said["layers"], 1, layout.MAX_LAYERS))
        if not staged:
            digest(said[STATE_DIGEST])
        keys(said["tallies"], {"tables", "levels"})
        if said["sources"] is not None:
            keys(said["sources"], origins.FIELDS)
    except (KeyError, TypeError, ValueError) as error:
        raise HeaderFault(container.name, "header", f"{type(error).__name__}: {error}") from error
    _check(layers, said, container)
    return Header(said, layers)


def _inflated(container: Container) -> dict[str, Any]:
    name, head, part = container.name, container.head, container.parts.get(layout.HEADER)
    if head.keys() != {"version", "sha256"}:
        raise HeaderFault(name, "header", f"metadata of {', '.join(sorted(head))}")
    for other, array in container.parts.items():
        if array.dtype != np.uint8 or array.ndim != 1:
            raise PartFault(name, other, f"{array.dtype} of shape {array.shape}, expected rows of uint8")
    if part is None:
        raise PartFault(name, "header", "missing")
    if hashlib.sha256(part.tobytes()).hexdigest() != head["sha256"]:
        raise HeaderFault(name, "header", "its SHA-256 does not match")
    decoder = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        spelling = decoder.decompress(part.tobytes(), layout.MAX_HEADER + 1)
    except zlib.error as error:
        raise HeaderFault(name, "header", f"not deflated ({error})") from error
    if len(spelling) > layout.MAX_HEADER:
        raise LimitFault(name, "header", f"more than {layout.MAX_HEADER} bytes of header")
    if not decoder.eof or decoder.unused_data:
        raise HeaderFault(name, "header", "does not end where its part ends")
    try:
        said = json.loads(spelling)
        if layout.canonical_json(said).encode() != spelling:
            raise HeaderFault(name, "header", "not in its canonical spelling")
    except (ValueError, RecursionError) as error:
        raise HeaderFault(name, "header", f"unreadable ({error})") from error
    if not isinstance(said, dict):
        raise HeaderFault(name, "header", f"a {type(said).__name__} where an object is expected")
    return said


def _layer(entry: Any, container: Container) -> Layer:
    staged = container.version > layout.UNSTAGED_VERSION
    keys(entry, LAYER_FIELDS if staged else LAYER_FIELDS | {LAYER_DIGEST})
    name, shape = short_text(entry["name"]), entries(entry["shape"], 1, layout.MAX_DIMENSIONS)
    sides, most = tuple(integer(side, 1, 1 << 40) for side in shape), layout.MAX_LAYER_WEIGHTS
    if (size := math.prod(sides)) > most:
        raise LimitFault(container.name, name, f"{size} weights in a layer, at most {most} are allowed")
    scale = float32_of(entry["scale"])
    if scale == 0:
        raise HeaderFault(container.name, name, "its scale is 0")
    context = Numbers(entry["context"], sides, staged)
    return Layer(
        name=name,
        shape=sides,
        size=size,
        kept=integer(entry["kept"], 0, size),
        init=choice(entry["init"], INITS),
        scale=scale,
        gain=None if entry["gain"] is None else float32_of(entry["gain"]),
        sha256=None if staged else digest(entry[LAYER_DIGEST]),
        context=context,
        moved=None if entry["moved"] is None else Numbers(entry["moved"], sides, staged, context),
    )


def _check(layers: tuple[Layer, ...], said: dict[str, Any], container: Container) -> None:
    name, total = container.name, sum(layer.size for layer in layers)
    if total > layout.MAX_WEIGHTS:
        raise LimitFault(name, "header", f"{total} weights, at most {layout.MAX_WEIGHTS} are allowed")
    if total > (most := layout.MAX_WEIGHTS_PER_BYTE) * container.size:
        what = f"{total} weights in {container.size} bytes, at most {most} a byte are allowed"
        raise LimitFault(name, "header", what)
    stages = sum(layer.context.positions for layer in layers if layer.context.in_turn)
    if stages > (most := layout.MAX_STAGES):
        raise LimitFault(name, "header", f"{stages} kernel positions in turn, at most {most} are allowed")
    for twice, count in Counter(layer.name for layer in layers).items():
        if count > 1:
            raise HeaderFault(name, twice, f"{count} layers have this name")
    for layer in layers:
        if (layer.gain is not None) != (said["subnetwork"] == "binary"):
            raise HeaderFault(name, layer.name, "a binary subnetwork has gains, a continuous one has none")
        if layer.moved is not None and not layer.kept:
            raise HeaderFault(name, layer.name, "none is kept, but some moved")
    moved = [layer for layer in layers if layer.moved is not None]
    drawn = any(not layer.sign_only for layer in moved)
    if (said["sources"] is not None) != drawn:
        raise HeaderFault(name, "header", "sources are of continuous weights that moved")
    staged = container.version > layout.UNSTAGED_VERSION
    parts = {layout.HEADER} | ({layout.ELSEWHERE, layout.SOURCES} if drawn else set())
    if staged:
        parts |= {layout.CODED}
    else:
        parts |= {layout.CONTEXTS, layout.MASKS}
        parts |= {layout.MOVED} if moved else set()
        parts |= {layout.STATE} if said["state"] else set()
    # Whether there is something left for that one, only the other parts' lanes say.
    there = container.parts.keys() - ({layout.RAW} if staged else set())
    for part in sorted(parts ^ there):
        raise PartFault(name, part, "missing" if part in parts else "not announced by the header")
