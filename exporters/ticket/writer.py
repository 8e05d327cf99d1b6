"""A Subnetwork to the bytes of a ticket. Equal subnetworks give equal bytes."""

import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from recycle_pipeline.exporters.atomic import write_bytes
from recycle_pipeline.exporters.ticket import layout
from recycle_pipeline.exporters.ticket.bits import encode_bits
from recycle_pipeline.exporters.weights import plain_array
from recycle_pipeline.models.subnetwork import MaskedTensor, Subnetwork, array_digest


def write_ticket(subnetwork: Subnetwork, path: Path, digests: Mapping[str, str] | None = None) -> None:
    """Stores a subnetwork as a ticket, atomically.

    Args:
        subnetwork: what to store.
        path: where.
        digests: of the arrays a reader must rebuild, by state name; those of `subnetwork.arrays()` if
            None. A search gives those of the tensors it computed with, for `pack` to compare.

    Raises:
        OSError: the file cannot be written.
    """
    write_bytes(path, ticket_bytes(subnetwork, digests))


def ticket_bytes(subnetwork: Subnetwork, digests: Mapping[str, str] | None = None) -> bytes:
    """The file's content; see `write_ticket`."""
    if digests is None:
        digests = {name: array_digest(array) for name, array in subnetwork.arrays().items()}
    parts = _parts(subnetwork)
    options = subnetwork.options.changed()
    header = {
        "version": layout.FORMAT_VERSION if options else layout.PLAIN_VERSION,
        "arch": subnetwork.arch,
        "classes": list(subnetwork.classes),
        "channels": subnetwork.channels,
        "image_size": subnetwork.image_size,
        "mean": list(subnetwork.mean),
        "std": list(subnetwork.std),
        "seed": subnetwork.seed,
        "subnetwork": subnetwork.kind,
        "prune": subnetwork.prune,
        "scope": subnetwork.scope,
        "generator": layout.GENERATOR,
        "recipe": dict(subnetwork.recipe),
        "layers": [_layer_entry(tensor) for tensor in subnetwork.tensors],
        "crc32": {name: zlib.crc32(array.tobytes()) for name, array in parts.items()},
        "digests": dict(digests),
        **({"options": options} if options else {}),
    }
    digest = hashlib.sha256(layout.canonical_json(header).encode()).hexdigest()
    metadata = {layout.METADATA_KEY: layout.canonical_json({"sha256": digest, "header": header})}
    return safetensors.numpy.save(parts, metadata)


def _parts(subnetwork: Subnetwork) -> dict[str, NDArray[np.generic]]:
    parts: dict[str, NDArray[np.generic]] = {}
    for tensor in subnetwork.tensors:
        parts[layout.MASK + tensor.name] = encode_bits(tensor.mask)
        if not tensor.moved:
            continue
        if tensor.sign_only and tensor.flips is not None:
            parts[layout.FLIPS + tensor.name] = encode_bits(tensor.flips)
        elif tensor.draws is not None and tensor.sources is not None:
            parts[layout.DRAWS + tensor.name] = plain_array(tensor.draws)
            parts[layout.SOURCES + tensor.name] = plain_array(tensor.sources)
    for name, array in subnetwork.state.items():
        parts[layout.STATE + name] = plain_array(array)
    return parts


def _layer_entry(tensor: MaskedTensor) -> dict[str, object]:
    return {
        "name": tensor.name,
        "shape": list(tensor.mask.shape),
        "kept": tensor.kept,
        "init": tensor.init,
        "scale": float32_hex(tensor.scale),
        "gain": None if tensor.gain is None else float32_hex(tensor.gain),
    }


def float32_hex(value: np.float32) -> str:
    """The eight hexadecimal digits of a float32's bits."""
    return f"{int(np.float32(value).view(np.uint32)):08x}"
