"""A Subnetwork to the bytes of a ticket, version 3."""

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.atomic import write_bytes
from recycle_pipeline.exporters.ticket import by_class, layout, origins, state
from recycle_pipeline.exporters.ticket.coding.frames import encode_symbols
from recycle_pipeline.exporters.ticket.container import packed
from recycle_pipeline.exporters.ticket.contexts.context import Classes, Context
from recycle_pipeline.exporters.ticket.contexts.grouped import OfAll, OfKept
from recycle_pipeline.exporters.ticket.contexts.stored import numbers_of, symbols_of
from recycle_pipeline.exporters.ticket.fields import float32_hex, said_of
from recycle_pipeline.exporters.ticket.fitting import mask_context, moved_context
from recycle_pipeline.exporters.ticket.tallied import table_of, tally_of
from recycle_pipeline.models.subnetwork import MaskedTensor, Subnetwork, array_digest

Bits = NDArray[np.bool_]


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
    """The file's content; see `write_ticket`. Equal subnetworks give equal bytes."""
    if digests is None:
        digests = {name: array_digest(array) for name, array in subnetwork.arrays().items()}
    header, parts = said_of(subnetwork), {}
    kept = [np.flatnonzero(tensor.mask) for tensor in subnetwork.tensors]
    moved = [tensor.moved_bits(places) for tensor, places in zip(subnetwork.tensors, kept, strict=True)]
    contexts = _Contexts(subnetwork, kept, moved)
    parts[layout.CONTEXTS], header["tallies"] = contexts.encoded()
    parts[layout.MASKS], header["masks"] = contexts.masks()
    header["moved"], header["sources"] = [], None
    if contexts.moved:
        parts[layout.MOVED], header["moved"] = contexts.moved_bits()
        found, header["sources"] = origins.encoded(subnetwork.tensors, kept, moved)
        parts |= found
    header["state"], header["planes"] = [], []
    if subnetwork.state:
        parts[layout.STATE], header["state"], header["planes"] = state.encoded(subnetwork.state)
    header["state_sha256"] = digest_of_state({name: digests[name] for name in subnetwork.state})
    header["layers"] = [
        _layer_entry(tensor, own, digests[f"{tensor.name}.weight"])
        | {"context": numbers_of(context), "moved": None if other is None else numbers_of(other)}
        for tensor, own, context, other in zip(
            subnetwork.tensors, kept, contexts.of_masks, contexts.of_moved, strict=True
        )
    ]
    parts[layout.HEADER] = _deflated(layout.canonical_json(header).encode())
    digest = hashlib.sha256(parts[layout.HEADER]).hexdigest()
    return packed({"version": layout.FORMAT_VERSION, "sha256": digest}, parts)


def digest_of_state(digests: Mapping[str, str]) -> str:
    """One SHA-256 (hex) for those of the state's arrays."""
    return hashlib.sha256(layout.canonical_json(dict(digests)).encode()).hexdigest()


class _Contexts:
    """Contexts of all layers, and the bits they are for."""

    def __init__(
        self, subnetwork: Subnetwork, kept: Sequence[NDArray[np.intp]], moved: Sequence[Bits | None]
    ) -> None:
        self._seed, self._kept, self._moved = subnetwork.seed, kept, moved
        self._tensors = subnetwork.tensors
        seed = self._seed
        self.of_masks = [mask_context(t, seed, k) for t, k in zip(self._tensors, kept, strict=True)]
        self.of_moved = [
            None if bits is None else moved_context(t, seed, places, bits)
            for t, places, bits in zip(self._tensors, kept, moved, strict=True)
        ]

    @property
    def moved(self) -> bool:
        """Whether any weight moved."""
        return any(bits is not None for bits in self._moved)

    def encoded(self) -> tuple[bytes, dict[str, list[int]]]:
        both = [*self.of_masks, *(context for context in self.of_moved if context is not None)]
        rows = dict(zip(("tables", "levels"), symbols_of(both), strict=True))
        tallies = {name: tally_of(row) for name, row in rows.items()}
        segments = [(row, table_of(tallies[name], len(row))) for name, row in rows.items()]
        return encode_symbols(segments), tallies

    def masks(self) -> tuple[bytes, list[int]]:
        layers = []
        for tensor, context in zip(self._tensors, self.of_masks, strict=True):
            layers.append((OfAll(_classes(context, self._seed, tensor)), tensor.mask.reshape(-1)))
        return by_class.encoded(layers)

    def moved_bits(self) -> tuple[bytes, list[int]]:
        layers = []
        of = zip(self._tensors, self.of_moved, self._kept, self._moved, strict=True)
        for tensor, context, places, bits in of:
            if context is not None and bits is not None:
                layers.append((OfKept(_classes(context, self._seed, tensor), tensor.mask, len(places)), bits))
        return by_class.encoded(layers)


def _classes(context: Context, seed: int, tensor: MaskedTensor) -> Classes:
    return Classes(context, seed, tensor.name, tensor.mask.shape)


def _layer_entry(tensor: MaskedTensor, kept: NDArray[np.intp], digest: str) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "shape": list(tensor.mask.shape),
        "kept": len(kept),
        "init": tensor.init,
        "scale": float32_hex(tensor.scale),
        "gain": None if tensor.gain is None else float32_hex(tensor.gain),
        "sha256": digest,
    }


def _deflated(content: bytes) -> bytes:
    coder = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9)
    return coder.compress(content) + coder.flush()
