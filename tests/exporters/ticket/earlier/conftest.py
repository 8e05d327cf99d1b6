"""Tickets of versions 1 and 2: what wrote them, and drafts of such that lie."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from recycle_pipeline.exporters.ticket.container import metadata_of, opened
from recycle_pipeline.exporters.ticket.earlier import layout
from recycle_pipeline.exporters.ticket.fields import float32_hex, said_of
from recycle_pipeline.exporters.ticket.layout import METADATA_KEY
from recycle_pipeline.exporters.weights import plain_array
from recycle_pipeline.models.subnetwork import MaskedTensor, Subnetwork, array_digest


def encode_bits(bits: np.ndarray) -> np.ndarray:
    """Packed eight to a byte, then deflate's Huffman stage."""
    packed = np.packbits(bits.reshape(-1), bitorder="little").tobytes()
    coder = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_HUFFMAN_ONLY)
    return np.frombuffer(coder.compress(packed) + coder.flush(), np.uint8)


def earlier_bytes(subnetwork: Subnetwork, digests: Mapping[str, str] | None = None) -> bytes:
    """A ticket of version 1, or 2 if there are options, as releases before version 3 wrote it."""
    if digests is None:
        digests = {name: array_digest(array) for name, array in subnetwork.arrays().items()}
    parts = _parts(subnetwork)
    said = said_of(subnetwork)
    header = said | {
        "version": layout.OPTIONS_VERSION if "options" in said else layout.PLAIN_VERSION,
        "layers": [_layer_entry(tensor) for tensor in subnetwork.tensors],
        "crc32": {name: zlib.crc32(array.tobytes()) for name, array in parts.items()},
        "digests": dict(digests),
    }
    return safetensors.numpy.save(parts, metadata_of(header))


def _parts(subnetwork: Subnetwork) -> dict[str, np.ndarray]:
    parts = {}
    for tensor in subnetwork.tensors:
        parts[layout.MASK + tensor.name] = encode_bits(tensor.mask)
        if not tensor.moved:
            continue
        if tensor.sign_only:
            parts[layout.FLIPS + tensor.name] = encode_bits(tensor.flips)
        else:
            parts[layout.DRAWS + tensor.name] = plain_array(tensor.draws)
            parts[layout.SOURCES + tensor.name] = plain_array(tensor.sources)
    return parts | {layout.STATE + name: plain_array(array) for name, array in subnetwork.state.items()}


def _layer_entry(tensor: MaskedTensor) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "shape": list(tensor.mask.shape),
        "kept": tensor.kept,
        "init": tensor.init,
        "scale": float32_hex(tensor.scale),
        "gain": None if tensor.gain is None else float32_hex(tensor.gain),
    }


@dataclass
class Draft:
    """A ticket to be: change header and parts at will; `content` writes a container that is in order.

    Attributes:
        header: as JSON will hold it.
        parts: the tensors.
        honest_crcs: whether the header's CRC-32 are computed from the parts when written.
        metadata: the safetensors metadata in place of the ticket's own, if not None.
    """

    header: Any
    parts: dict[str, np.ndarray]
    honest_crcs: bool = True
    metadata: dict[str, str] | None = None

    def content(self) -> bytes:
        if self.honest_crcs and isinstance(self.header, dict):
            self.header["crc32"] = {k: zlib.crc32(v.tobytes()) for k, v in self.parts.items()}
        return safetensors.numpy.save(self.parts, self.metadata or {METADATA_KEY: self.outer()})

    def outer(self) -> str:
        return metadata_of(self.header)[METADATA_KEY]


def draft_of(content: bytes) -> Draft:
    """A ticket's bytes taken apart."""
    container = opened(content, "mine")
    return Draft(container.head, dict(container.parts))


@pytest.fixture
def take_apart() -> Callable[[bytes], Draft]:
    return draft_of


@pytest.fixture
def ticket_bytes() -> Callable[..., bytes]:
    return earlier_bytes


@pytest.fixture
def encoded_bits() -> Callable[[np.ndarray], np.ndarray]:
    return encode_bits


@pytest.fixture
def binary(make_by_hand: Callable[[str], Subnetwork]) -> Draft:
    return draft_of(earlier_bytes(make_by_hand("binary")))


@pytest.fixture
def continuous(make_by_hand: Callable[[str], Subnetwork]) -> Draft:
    return draft_of(earlier_bytes(make_by_hand("continuous")))
