"""checkpoint.safetensors: what an epoch of a search left, to go on from. No pickle is written or read.

The format, version 1, is a safetensors file whose header has no spaces but those that pad it:
    tensors   score.W               float32 of the layer's shape
              draw.W, source.W      int16 and int32, (n,): where each weight came from; absent before the
                                    first event. The weights follow from these and the seed
              memory.KEY.W          the optimizer's: momentum_buffer; or exp_avg, exp_avg_sq and step
              state.NAME            every parameter and buffer of the network that is not of a mask
              random.STREAM         uint8, states of the generators
              carried.NAME          what only the engine that wrote the file keeps from step to step
    metadata  recycle-pipeline      JSON: version, search, events, records; the next epoch is the number of
                                    records
              crc32                 8 hex digits, of header and data with these digits taken as 00000000
W is the name of a masked weight, or of another trained parameter, in the plain network's state.
"""

import dataclasses
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from recycle_pipeline.exporters.atomic import replacing
from recycle_pipeline.models.errors import CorruptArtefact, UsageFault
from recycle_pipeline.pipeline import rate_changes
from recycle_pipeline.pipeline.search.records import EpochRecord

VERSION = 1
METADATA_KEY = "recycle-pipeline"
DTYPES = {
    torch.float64: "F64",
    torch.int64: "I64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
Search = Mapping[str, str | int | float | bool | None]


@dataclass(frozen=True)
class Checkpoint:
    """A search between two epochs.

    Attributes:
        search: what it is of: settings, digests of data and architecture, versions, device; by name.
        events: reuse events so far.
        records: of the finished epochs.
        tensors: on the CPU, by the names that the module lists.
    """

    search: Search
    events: int
    records: tuple[EpochRecord, ...]
    tensors: Mapping[str, Tensor]

    def differing(self, asked: Search) -> dict[str, str]:
        """How its search differs from another in what its epochs have met: texts for people, by name.

        Raises:
            CorruptArtefact: it has no such settings as a search has.
        """
        try:
            there, here = self._met(self.search), self._met(asked)
        except (UsageFault, AttributeError) as error:
            raise CorruptArtefact(f"is damaged ({error})") from error
        names = sorted(there.keys() | here.keys())
        return {
            name: f"{name} {_short(there.get(name))} there, {_short(here.get(name))} here"
            for name in names
            if there.get(name) != here.get(name)
        }

    def _met(self, search: Search) -> dict[str, Any]:
        """Without changes of the learning rate that lie ahead."""
        text: Any = search.get(rate_changes.NAME)
        return {**search, rate_changes.NAME: rate_changes.seen_by(text, len(self.records))}


def write_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Writes it atomically and straight from the tensors' memory.

    Python's lock is free during all that takes time, which a library's call does not promise; so a search
    may go on in another thread.

    Raises:
        OSError: the file cannot be written.
        KeyError: a tensor has a dtype that safetensors cannot hold.
    """
    # Sizes of elements descend, so that every tensor lies aligned.
    ordered = sorted(checkpoint.tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    header = _header(checkpoint, ordered, "00000000")
    crc = zlib.crc32(header)
    for _, tensor in ordered:
        crc = zlib.crc32(_bytes_of(tensor), crc)
    # A folder that was removed is not made again, for a checkpoint alone.
    with replacing(path, parents=False) as temporary, temporary.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + _header(checkpoint, ordered, f"{crc:08x}"))
        for _, tensor in ordered:
            file.write(_bytes_of(tensor))


def _header(checkpoint: Checkpoint, ordered: list[tuple[str, Tensor]], crc: str) -> bytes:
    facts = {
        "version": VERSION,
        "search": dict(checkpoint.search),
        "events": checkpoint.events,
        "records": [dataclasses.asdict(record) for record in checkpoint.records],
    }
    entries: dict[str, Any] = {"__metadata__": {"crc32": crc, METADATA_KEY: json.dumps(facts)}}
    end = 0
    for name, tensor in ordered:
        start, end = end, end + tensor.nbytes
        entries[name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(entries, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8)


def _bytes_of(tensor: Tensor) -> memoryview:
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads a file of `write_checkpoint`.

    Raises:
        CorruptArtefact: it is damaged, of another kind or of a later version; says in what.
        OSError: it cannot be read.
    """
    content = path.read_bytes()
    try:
        tensors = safetensors.torch.load(content)
        size = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + size])["__metadata__"]
        _check_crc(content, 8 + size, metadata["crc32"])
        facts = json.loads(metadata[METADATA_KEY])
        if facts["version"] != VERSION:
            raise CorruptArtefact(f"has version {facts['version']}, where {VERSION} is read")
        records = tuple(EpochRecord(**values) for values in facts["records"])
        return Checkpoint(facts["search"], int(facts["events"]), records, tensors)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptArtefact(f"is damaged ({type(error).__name__}: {error})") from error


def _check_crc(content: bytes, data: int, stated: str) -> None:
    header = content[8:data].replace(f'"crc32":"{stated}"'.encode(), b'"crc32":"00000000"', 1)
    found = f"{zlib.crc32(memoryview(content)[data:], zlib.crc32(header)):08x}"
    if found != stated:
        raise ValueError(f"its checksum is {found}, stated is {stated}")


def _short(value: object) -> str:
    """A digest is known by its beginning."""
    return value[:12] if isinstance(value, str) and len(value) == 64 else str(value)
