"""The file as safetensors: its version, what its metadata says, and its parts."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket import layout
from recycle_pipeline.exporters.ticket.faults import HeaderFault, LaterVersion, NotATicket
from recycle_pipeline.models.errors import UsageFault

Parts = dict[str, NDArray[Any]]
EARLIEST_VERSION = 1


@dataclass(frozen=True)
class Container:
    """What a ticket's file holds.

    Attributes:
        name: of the file, for messages.
        size: of the file, in bytes.
        version: of the format.
        head: `header` of the metadata: the whole header in versions 1 and 2.
        parts: the tensors, by name.
    """

    name: str
    size: int
    version: int
    head: dict[str, Any]
    parts: Parts


def read_file(path: Path | str) -> bytes:
    """The file's content. Raises UsageFault if there is none."""
    path = Path(path)
    if not path.is_file():
        raise UsageFault(f"no ticket at {path}: expected a file that `recycle-pipeline pack` wrote")
    return path.read_bytes()


def opened(content: bytes, name: str) -> Container:
    """Takes a file apart.

    Raises:
        NotATicket: it is no safetensors file, or none of ours.
        HeaderFault: its metadata were changed, or are not in their one spelling.
        LaterVersion: a later release wrote it.
    """
    try:
        parts = safetensors.numpy.load(content)
        size = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + size]).get("__metadata__") or {}
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise NotATicket(name, "container", f"not a whole safetensors file ({error})") from error
    if layout.METADATA_KEY not in metadata:
        raise NotATicket(name, "container", "a safetensors file, but not a ticket")
    head = _head(metadata[layout.METADATA_KEY], name)
    return Container(name, len(content), _version(head, name), head, parts)


def metadata_of(head: dict[str, Any]) -> dict[str, str]:
    """The safetensors metadata that `opened` takes."""
    digest = hashlib.sha256(layout.canonical_json(head).encode()).hexdigest()
    return {layout.METADATA_KEY: layout.canonical_json({"sha256": digest, "header": head})}


def packed(head: dict[str, Any], parts: dict[str, bytes]) -> bytes:
    """The file of this metadata and these parts, each a row of bytes."""
    arrays = {name: np.frombuffer(part, np.uint8) for name, part in parts.items()}
    return safetensors.numpy.save(arrays, metadata_of(head))


def _head(spelling: str, name: str) -> dict[str, Any]:
    try:
        outer = json.loads(spelling)
        head, stated = outer["header"], outer["sha256"]
        right = metadata_of(head)[layout.METADATA_KEY]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise HeaderFault(name, "header", f"unreadable ({error})") from error
    if json.loads(right)["sha256"] != stated:
        raise HeaderFault(name, "header", "its SHA-256 does not match")
    if spelling != right:
        raise HeaderFault(name, "header", "not in its canonical spelling")
    if not isinstance(head, dict):
        raise HeaderFault(name, "header", f"a {type(head).__name__} where an object is expected")
    return head


def _version(head: dict[str, Any], name: str) -> int:
    version = head.get("version")
    if type(version) is int and version > layout.FORMAT_VERSION:
        raise LaterVersion(name, version, layout.FORMAT_VERSION)
    if type(version) is not int or version < EARLIEST_VERSION:
        expected = f"expected {EARLIEST_VERSION} to {layout.FORMAT_VERSION}"
        raise HeaderFault(name, "header", f"version {version!r}, {expected}")
    return version
