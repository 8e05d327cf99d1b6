"""A Subnetwork to the bytes of a ticket, version 4."""

import hashlib
import math
import zlib
from collections.abc import Mapping, Sequence
from itertools import product, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.atomic import write_bytes
from recycle_pipeline.exporters.ticket import by_class, layout, origins
from recycle_pipeline.exporters.ticket.coding.frames import encode_symbols, framed
from recycle_pipeline.exporters.ticket.coding.tables import Frequencies
from recycle_pipeline.exporters.ticket.container import packed
from recycle_pipeline.exporters.ticket.contexts.grouped import Gathered, Piece, pieces
from recycle_pipeline.exporters.ticket.contexts.stored import numbers_of, symbols_of
from recycle_pipeline.exporters.ticket.digests import digests_of
from recycle_pipeline.exporters.ticket.fields import float32_hex, said_of
from recycle_pipeline.exporters.ticket.fitting import contexts_for
from recycle_pipeline.exporters.ticket.smoothing import rounded
from recycle_pipeline.exporters.ticket.state import digest_of, planned
from recycle_pipeline.exporters.ticket.tallied import Symbols, table_of, tally_of
from recycle_pipeline.models.kept_digest import BYTES
from recycle_pipeline.models.subnetwork import MaskedTensor, Subnetwork

Bits = NDArray[np.bool_]
Segment = tuple[Symbols, Frequencies]


def write_ticket(subnetwork: Subnetwork, path: Path, digests: Mapping[str, str] | None = None) -> None:
    """Stores a subnetwork as a ticket, atomically.

    Args:
        subnetwork: what to store.
        path: where.
        digests: of the arrays a reader must rebuild, as `digests.digests_of` takes them; those of the
            subnetwork's if None. A search gives those of the tensors it computed with, for `pack` to compare.

    Raises:
        OSError: the file cannot be written.
    """
    write_bytes(path, ticket_bytes(subnetwork, digests))


def ticket_bytes(subnetwork: Subnetwork, digests: Mapping[str, str] | None = None) -> bytes:
    """The file's content; see `write_ticket`. Equal subnetworks give equal bytes."""
    if digests is None:
        digests = digests_of({}, subnetwork.state)
        digests |= {
            f"{tensor.name}.weight": tensor.rebuilt(subnetwork.seed)[1] for tensor in subnetwork.tensors
        }
    layers = list[_Layer]()
    for tensor in subnetwork.tensors:
        most = layout.MAX_STAGES - sum(layer.stages for layer in layers)
        layers.append(_Layer(tensor, subnetwork.seed, most))
    header, numbers = said_of(subnetwork), planned(subnetwork.state)
    of_state = digest_of({name: digests[name] for name in subnetwork.state})
    names = [f"{tensor.name}.weight" for tensor in subnetwork.tensors]
    every = [*(digests[name] for name in names), of_state[: 2 * BYTES]]
    if wrong := [each for each in every if len(each) != 2 * BYTES]:
        raise ValueError(f"{wrong[0]!r} is no digest of a weight in {BYTES} bytes")
    reserve = bytearray(bytes.fromhex("".join(every)))
    reserve += numbers.raw
    segments, header["tallies"] = _contexts(layers)
    masks, moved = _bits(layers)
    for name, vectors in ((layout.MASKS, masks), (layout.MOVED, moved)):
        own, header[name] = by_class.segmented(vectors)
        segments += own
    of_all = [layer.kept for layer in layers], [layer.moved for layer in layers]
    found, header["sources"] = origins.encoded(subnetwork.tensors, *of_all)
    header["state"], header["planes"] = numbers.described, numbers.tallies
    parts = {layout.CODED: encode_symbols([*segments, *numbers.segments], reserve), **found}
    if reserve:
        parts[layout.RAW] = framed(bytes(reserve))
    header["layers"] = [layer.entry() for layer in layers]
    parts[layout.HEADER] = _deflated(layout.canonical_json(header).encode())
    digest = hashlib.sha256(parts[layout.HEADER]).hexdigest()
    return packed({"version": layout.FORMAT_VERSION, "sha256": digest}, parts)


class _Layer:
    """A layer with its contexts, and its bits by class; `most` of its kernel positions may be in turn.

    Attributes:
        bits: those of the mask and those of what moved, by kernel position.
    """

    def __init__(self, tensor: MaskedTensor, seed: int, most: int) -> None:
        self.tensor, self.kept = tensor, np.flatnonzero(tensor.mask)
        self.moved = tensor.moved_bits(self.kept)
        (self.of_mask, self.of_moved), found = contexts_for(tensor, seed, self.kept, self.moved, most)
        self.stages = math.prod(tensor.mask.shape[2:]) if self.of_mask.neighbours is not None else 0
        self.bits: tuple[list[list[Piece]], list[list[Piece]]] = ([], [])
        for which, _, stage, bits, _ in found:
            self.bits[which].append(list(pieces(stage, bits)))

    def entry(self) -> dict[str, Any]:
        """For the header."""
        tensor = self.tensor
        return {
            "name": tensor.name,
            "shape": list(tensor.mask.shape),
            "kept": len(self.kept),
            "init": tensor.init,
            "scale": float32_hex(tensor.scale),
            "gain": None if tensor.gain is None else float32_hex(tensor.gain),
            "context": numbers_of(self.of_mask),
            "moved": None if self.of_moved is None else numbers_of(self.of_moved),
        }


def _contexts(layers: Sequence[_Layer]) -> tuple[list[Segment], dict[str, list[int]]]:
    both = [layer.of_mask for layer in layers]
    both += [layer.of_moved for layer in layers if layer.of_moved is not None]
    rows = dict(zip(("tables", "levels"), symbols_of(both), strict=True))
    tallies = {name: rounded(tally_of(row)) for name, row in rows.items()}
    return [(row, table_of(tallies[name], len(row))) for name, row in rows.items()], tallies


def _bits(layers: Sequence[_Layer]) -> tuple[list[Bits], list[Bits]]:
    """By class: those of masks, and those of what moved. Position after position, of all layers in turn."""
    found = Gathered(), Gathered()
    for which, gathered in enumerate(found):
        for position in zip_longest(*(layer.bits[which] for layer in layers), fillvalue=()):
            for own in position:
                gathered.take(own)
    return found[0].vectors(), found[1].vectors()


def _deflated(content: bytes) -> bytes:
    """The shortest of some ways: they differ by a fiftieth."""
    found = []
    for memory, strategy in product((4, 5, 9), (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED)):
        coder = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, memory, strategy)
        found.append(coder.compress(content) + coder.flush())
    return min(found, key=len)
