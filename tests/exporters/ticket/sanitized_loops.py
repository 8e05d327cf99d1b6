"""Run by test_loops.py in a process of its own, in which the loops are a build with sanitizers.

    python sanitized_loops.py [SEED [DAMAGED]]

Tickets are read, written again, and read with a byte changed and their sums made right, so that damage gets
as far as it can. Prints how many were read and refused.
"""

import json
import sys
import zlib
from pathlib import Path

import numpy as np
import safetensors.numpy

from recycle_pipeline.exporters.ticket.faults import TicketFault
from recycle_pipeline.exporters.ticket.loops import loops
from recycle_pipeline.exporters.ticket.reader import load_ticket, parse_ticket
from recycle_pipeline.exporters.ticket.writer import ticket_bytes

GOLDEN = Path(__file__).parents[2] / "golden"
HEAD = 8  # bytes of a frame before its content


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """With a byte of the coded part changed, and its CRC that of what is there."""
    parts = {name: array.copy() for name, array in safetensors.numpy.load(content).items()}
    coded = parts["coded"]
    coded[int(rng.integers(HEAD, len(coded)))] ^= int(rng.integers(1, 256))
    coded[4:HEAD] = np.frombuffer(zlib.crc32(coded[HEAD:].tobytes()).to_bytes(4, "little"), np.uint8)
    return safetensors.numpy.save(parts, metadata_of(content))


def metadata_of(content: bytes) -> dict[str, str]:
    length = int.from_bytes(content[:8], "little")
    found: dict[str, str] = json.loads(content[8 : 8 + length])["__metadata__"]
    return found


def main(seed: int = 0, number: int = 150) -> None:
    assert loops() is not None
    rng, counts = np.random.default_rng(seed), {"read": 0, "refused": 0}
    for path in sorted(GOLDEN.glob("ticket-v[34]-*.safetensors")):
        content = path.read_bytes()
        ticket_bytes(load_ticket(path))
        counts["read"] += 1
        for _ in range(number if "-v4-" in path.name else 0):
            try:
                parse_ticket(damaged(content, rng), "damaged")
                counts["read"] += 1
            except TicketFault:
                counts["refused"] += 1
    print(f"read {counts['read']}, refused {counts['refused']}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
