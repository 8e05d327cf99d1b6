"""Tickets of version 4 that lie: well-formed files around any header and parts."""

import hashlib
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from recycle_pipeline.exporters.ticket import layout
from recycle_pipeline.exporters.ticket.writer import ticket_bytes
from recycle_pipeline.models.subnetwork import Subnetwork


@dataclass
class Draft:
    """A ticket to be: change header and parts at will; `content` writes a container that is in order.

    Attributes:
        header: as JSON will hold it.
        parts: the tensors, but the header's; frames with the CRCs they were given.
        spelling: the header's JSON in place of the canonical one, if not None.
        deflated: the header's part in place of the deflated one, if not None.
        head: the metadata's head in place of the right one, if not None.
        metadata: the safetensors metadata in place of the ticket's own, if not None.
    """

    header: Any
    parts: dict[str, np.ndarray]
    spelling: bytes | None = None
    deflated: bytes | None = None
    head: Any = None
    metadata: dict[str, str] | None = None

    def content(self) -> bytes:
        spelling = self.spelling or layout.canonical_json(self.header).encode()
        part = deflated(spelling) if self.deflated is None else self.deflated
        head = self.head or {"version": 4, "sha256": hashlib.sha256(part).hexdigest()}
        parts = {"header": np.frombuffer(part, np.uint8)} | self.parts
        return safetensors.numpy.save(parts, self.metadata or {layout.METADATA_KEY: outer(head)})


def outer(head: Any) -> str:
    digest = hashlib.sha256(layout.canonical_json(head).encode()).hexdigest()
    return layout.canonical_json({"sha256": digest, "header": head})


def deflated(content: bytes) -> bytes:
    coder = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return coder.compress(content) + coder.flush()


def draft_of(content: bytes) -> Draft:
    """A ticket's bytes taken apart, by safetensors, zlib and json alone."""
    parts = dict(safetensors.numpy.load(content))
    header = json.loads(zlib.decompress(parts.pop("header").tobytes(), -zlib.MAX_WBITS))
    return Draft(header, parts)


@pytest.fixture
def take_apart() -> Callable[[bytes], Draft]:
    return draft_of


@pytest.fixture
def binary(make_by_hand: Callable[[str], Subnetwork]) -> Draft:
    return draft_of(ticket_bytes(make_by_hand("binary")))


@pytest.fixture
def continuous(make_by_hand: Callable[[str], Subnetwork]) -> Draft:
    return draft_of(ticket_bytes(make_by_hand("continuous")))
