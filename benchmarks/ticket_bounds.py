#!/usr/bin/env python3
"""What the ticket's reader takes, in seconds and memory, for files that are made to cost it most.

    python benchmarks/ticket_bounds.py --record benchmarks/records/NAME.json

Each file is at a limit of FORMAT.md, or just beyond, with digests and CRCs in order. It is read in a process
of its own, on one thread, three times; seconds are the least of the CPU, memory is the most that the process
took above what it held before, with numpy and the reader loaded.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common.record import write_record
from fuzzing.drafts import Draft
from fuzzing.seeds import seeds

from recycle_pipeline.exporters.ticket.coding.frames import encode_symbols, lanes_of
from recycle_pipeline.exporters.ticket.coding.tables import of_counts
from recycle_pipeline.exporters.ticket.contexts.neighbours import NEARS, SUMS

READ = """
import sys, time
from recycle_pipeline.exporters.ticket.faults import TicketFault
from recycle_pipeline.exporters.ticket.reader import parse_ticket
import json
def memory(which):
    return next(int(row.split()[1]) for row in open("/proc/self/status") if row.startswith(which)) * 1024
content, least = open(sys.argv[1], "rb").read(), float("inf")
before = memory("VmRSS")
for _ in range(3):
    started = time.process_time()
    try:
        parse_ticket(content, "file")
        said = "read"
    except TicketFault as fault:
        said = f"{type(fault).__name__}: {str(fault).partition(': ')[2]}"
    least = min(least, time.process_time() - started)
more = (memory("VmHWM") - before) / 1e6
print(json.dumps({"outcome": said[:160], "seconds": round(least, 4), "megabytes": more}))
"""
BYTES = 100_000  # of a part that is large


def small() -> Draft:
    return Draft.of(seeds()[0])


def with_layers(count: int, shape: list[int], in_turn: bool = False) -> Draft:
    """Layers of which nothing is kept: in order, if they are not too many or too large."""
    draft = small()
    context = [0, 0, 0, 0, 8 * in_turn]
    layer = draft.header["layers"][0] | {"kept": 0, "moved": None, "context": context, "shape": shape}
    levels = (NEARS + SUMS) * count * in_turn
    rows = [np.zeros(n, np.uint8) for n in (count, levels)]  # a table of one cell each, the same in all
    said = {
        "layers": [layer | {"name": f"l{i}"} for i in range(count)],
        "tallies": {"tables": [count], "levels": [levels] if levels else []},
        **{"moved": [], "masks": [], "state": [], "planes": []},
    }
    frame = encode_symbols([(row, of_counts([len(row) or 1])) for row in rows])
    digests = bytes(16 * count) + hashlib.sha256(b"{}").digest()[:16]
    parts = {"coded": np.frombuffer(frame[8:], np.uint8)}
    if raw := digests[4 * lanes_of(frame) :]:
        parts["raw"] = np.frombuffer(raw, np.uint8)
    return replace(draft, header=draft.header | said, parts=parts)


def zeros(lanes: int, symbols: int) -> Draft:
    """A state of so many zeros: symbols that take hardly a bit, in so many lanes."""
    return with_state([["uint8", [["a", [symbols]]]]], [[symbols]], lanes, BYTES)


def many_arrays() -> Draft:
    """Arrays of one number in groups of their own, eight planes each: as many as a header has room for."""
    state = [["int64", [[f"{i}", [1]]]] for i in range(80_000)]
    return with_state(state, [[]] * 640_000, 160, 700_000)


def with_state(state: Any, planes: Any, lanes: int, size: int) -> Draft:
    """With a part of that many bytes: lanes that begin at 2^32, and words that are 0."""
    draft = small()
    words = np.zeros(2 + size // 2, "<u2")
    words[0], words[4 : 2 + 3 * lanes : 3] = lanes, 1
    parts = draft.parts | {"coded": words.view(np.uint8)}
    return replace(draft, header=draft.header | {"state": state, "planes": planes}, parts=parts)


def nested() -> Draft:
    draft = small()
    value: Any = []
    for _ in range(900):
        value = [value]
    return draft.saying(draft.said | {"recipe": value})


def long_header() -> Draft:
    draft = small()
    return draft.saying(draft.said | {"recipe": {"a": "a" * (1 << 23)}})


FILES: dict[str, Callable[[], Draft]] = {
    "claims 10^12 weights in 1,000 layers": lambda: with_layers(1000, [2**30]),
    "claims 10^12 weights in one layer": lambda: with_layers(1, [10**12]),
    "most weights per byte, all pruned": lambda: with_layers(1, [16_384 * 700]),
    "10,000 layers": lambda: with_layers(10_000, [1]),
    "4,096 kernel positions in turn": lambda: with_layers(64, [1, 1, 64], in_turn=True),
    "as many of 16 million weights": lambda: with_layers(64, [64, 61, 64], in_turn=True),
    "80,000 arrays": many_arrays,
    "header that inflates to 8 MB": long_header,
    "header nested 900 deep": nested,
    "most symbols, one lane": lambda: zeros(1, 1536 * BYTES),
    "most symbols of one lane, nearly": lambda: zeros(1, 4 * BYTES),
    "most symbols, lanes enough": lambda: zeros(384, 200 * 4 * BYTES),
}


def measure(name: str) -> dict[str, Any]:
    content = FILES[name]().content()
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        Path(file.name).write_bytes(content)
        command = [sys.executable, "-c", READ, file.name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    return {"file": name, "bytes": len(content), **found, "megabytes": round(found["megabytes"], 1)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    rows = []
    for name in FILES:
        rows.append(measure(name))
        print(json.dumps(rows[-1]), flush=True)
    write_record(args.record, __doc__.splitlines()[0], rows=rows)


if __name__ == "__main__":
    main()
