"""Tickets of version 3 with one class for all bits: the writer is gone, its files are read for ever."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from recycle_pipeline.exporters.ticket import by_class, planes
from recycle_pipeline.exporters.ticket.coding.frames import WIDE, encode_symbols
from recycle_pipeline.exporters.ticket.coding.streams import counts_of, encode_bits
from recycle_pipeline.exporters.ticket.coding.tables import of_counts
from recycle_pipeline.exporters.ticket.fields import float32_hex, said_of
from recycle_pipeline.exporters.ticket.state import digest_of, planned
from recycle_pipeline.models.subnetwork import MaskedTensor, Subnetwork, array_digest

CLASS = 128
NO_CONTEXT = [0] * 5


def drafted(subnetwork: Subnetwork) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and parts, but the header's."""
    digests = {name: array_digest(array) for name, array in subnetwork.arrays().items()}
    moved = [tensor.moved_bits() for tensor in subnetwork.tensors]
    some = [bits for bits in moved if bits is not None]
    header, parts = said_of(subnetwork), {}
    contexts = len(moved) + len(some)
    header["tallies"] = {"tables": [contexts], "levels": []}
    parts["contexts"] = encode_symbols([(np.zeros(contexts, np.uint8), of_counts([contexts]))], bits=WIDE)
    parts["masks"], header["masks"] = of_one_class([t.mask.reshape(-1) for t in subnetwork.tensors])
    header["moved"], header["sources"] = [], None
    if some:
        parts["moved"], header["moved"] = of_one_class(some)
        parts |= with_sources(subnetwork.tensors, moved, header)
    numbers = planned(subnetwork.state)
    header["state"], header["planes"] = numbers.described, numbers.tallies
    if numbers.described:
        rows = [
            np.concatenate([np.asarray(subnetwork.state[name], f"<{kind}").reshape(-1) for name, _ in group])
            for kind, group in ((np.dtype(kind).str[1:], group) for kind, group in numbers.described)
        ]
        parts["state"] = encode_symbols(
            [planes.segment(*each) for row in rows for each in planes.tallied(row)], bits=WIDE
        )
    header["state_sha256"] = digest_of({name: digests[name] for name in subnetwork.state})
    header["layers"] = [
        entry(tensor, bits is not None) | {"sha256": digests[f"{tensor.name}.weight"]}
        for tensor, bits in zip(subnetwork.tensors, moved, strict=True)
    ]
    return header, {name: np.frombuffer(part, np.uint8) for name, part in parts.items()}


def of_one_class(rows: list[np.ndarray]) -> tuple[bytes, list[int]]:
    none = np.zeros(0, np.bool_)
    return by_class.encoded([np.concatenate(rows) if i == CLASS else none for i in range(256)], bits=WIDE)


def with_sources(tensors: tuple[MaskedTensor, ...], moved: list[Any], header: Any) -> dict[str, bytes]:
    of = [(t, b) for t, b in zip(tensors, moved, strict=True) if b is not None and not t.sign_only]
    if not of:
        return {}
    draws = np.concatenate([t.draws[b] for t, b in of]).astype("<u2")
    places = [np.flatnonzero(t.mask)[b] for t, b in of]
    away = [t.sources[b] != own for (t, b), own in zip(of, places, strict=True)]
    elsewhere = np.concatenate(away)
    rows = [draws[~elsewhere], draws[elsewhere]]
    rows += [t.sources[b][other].astype("<u4") for (t, b), other in zip(of, away, strict=True)]
    found = [each for row in rows for each in planes.tallied(row)]
    counts = counts_of([elsewhere])[0]
    header["sources"] = {
        "elsewhere": [counts.kept, counts.gaps],
        "planes": [tally for _, tally in found],
    }
    sources = encode_symbols([planes.segment(*each) for each in found], bits=WIDE)
    return {"elsewhere": encode_bits([elsewhere], bits=WIDE), "sources": sources}


def entry(tensor: MaskedTensor, moved: bool) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "shape": list(tensor.mask.shape),
        "kept": tensor.kept,
        "init": tensor.init,
        "scale": float32_hex(tensor.scale),
        "gain": None if tensor.gain is None else float32_hex(tensor.gain),
        "context": NO_CONTEXT,
        "moved": NO_CONTEXT if moved else None,
    }


@pytest.fixture
def drafted_version3() -> Callable[[Subnetwork], tuple[dict[str, Any], dict[str, np.ndarray]]]:
    return drafted
