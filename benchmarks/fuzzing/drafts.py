"""Tickets taken apart, and put together again with digests and CRCs that are in order."""

import hashlib
import json
import zlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket.coding.frames import framed
from recycle_pipeline.exporters.ticket.container import metadata_of, opened
from recycle_pipeline.exporters.ticket.layout import canonical_json


@dataclass(frozen=True)
class Draft:
    """What a ticket says.

    Attributes:
        head: of the metadata.
        header: the part of that name as JSON; None in versions 1 and 2, where the head is the header.
        parts: the others: contents of frames, or in versions 1 and 2 the tensors.
    """

    head: Any
    header: Any
    parts: dict[str, NDArray[Any]]

    @staticmethod
    def of(content: bytes) -> "Draft":
        """Raises TicketFault, LaterVersion, KeyError, ValueError or zlib.error if it cannot be."""
        container = opened(content, "case")
        parts = dict(container.parts)
        if container.version < 3:
            return Draft(container.head, None, parts)
        header = json.loads(zlib.decompress(parts.pop("header").tobytes(), -zlib.MAX_WBITS))
        return Draft(container.head, header, {name: part[8:] for name, part in parts.items()})

    @property
    def said(self) -> Any:
        """The header, wherever it is."""
        return self.head if self.header is None else self.header

    def saying(self, said: Any) -> "Draft":
        return replace(self, head=said) if self.header is None else replace(self, header=said)

    def content(self) -> bytes:
        """The file. Raises what JSON or safetensors do where they cannot spell it."""
        if self.header is None:
            return safetensors.numpy.save(self.parts, metadata_of(self._with_crcs()))
        part = _deflated(canonical_json(self.header).encode())
        parts = {name: np.frombuffer(framed(row.tobytes()), np.uint8) for name, row in self.parts.items()}
        head = self.head | {"sha256": hashlib.sha256(part).hexdigest()}
        return safetensors.numpy.save({"header": np.frombuffer(part, np.uint8)} | parts, metadata_of(head))

    def _with_crcs(self) -> Any:
        if not isinstance(self.head, dict) or not isinstance(self.head.get("crc32"), dict):
            return self.head
        crcs = {name: zlib.crc32(part.tobytes()) for name, part in self.parts.items()}
        return self.head | {"crc32": crcs}


def _deflated(content: bytes) -> bytes:
    coder = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    return coder.compress(content) + coder.flush()
