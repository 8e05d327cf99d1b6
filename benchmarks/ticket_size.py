#!/usr/bin/env python3
"""How close the coding of masks and flipped signs comes to their entropy, and how long it takes on one core.

    python benchmarks/ticket_size.py --record benchmarks/records/NAME.json TICKET ...
    python benchmarks/ticket_size.py --nncodec /path/to/python --record ... TICKET ...

For each ticket: the bound of independent bits per layer (masks, and which kept signs are flipped), the
streams of `exporters.ticket.coding`, and beside them the same network's ternary weights by zlib and lzma and,
where an interpreter has it, by nncodec (MPEG NNC), layer by layer as int32. Times are medians of `--repeats`.
"""

import argparse
import json
import lzma
import statistics
import subprocess
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common.record import write_record

from recycle_pipeline.exporters.ticket.coding.streams import counts_of, decode_bits, encode_bits
from recycle_pipeline.exporters.ticket.reader import load_ticket
from recycle_pipeline.models.subnetwork import Subnetwork, bits_entropy_bytes, mask_entropy_bytes

NNCODEC = """
import json, sys, time
import numpy as np
from nncodec.tensor import decode, encode
arrays = np.load(sys.argv[1])
size = encoding = decoding = 0
for name in arrays.files:
    started = time.perf_counter()
    stream = encode(arrays[name].astype(np.int32))
    encoding += time.perf_counter() - started
    started = time.perf_counter()
    found = decode(stream)
    decoding += time.perf_counter() - started
    assert (np.asarray(found) == arrays[name]).all()
    size += len(stream)
print(json.dumps({"bytes": size, "encode_seconds": encoding, "decode_seconds": decoding}))
"""


def timed(work: Callable[[], Any], repeats: int) -> tuple[Any, float]:
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        found = work()
        seconds.append(time.perf_counter() - started)
    return found, statistics.median(seconds)


def ours(vectors: list[Any], bound: float, repeats: int) -> dict[str, Any]:
    """Coded size beside the bound, and times."""
    stream, encoding = timed(lambda: encode_bits(vectors), repeats)
    counts = counts_of(vectors)
    found, decoding = timed(lambda: decode_bits(stream, counts), repeats)
    assert all(np.array_equal(f, v.reshape(-1)) for f, v in zip(found, vectors, strict=True))
    row: dict[str, Any] = {"bytes": len(stream), "bound": round(bound)}
    row |= {"encode_seconds": round(encoding, 4), "decode_seconds": round(decoding, 4)}
    return row | {"over_bound": round(len(stream) / bound, 5) if bound else None}


def ternary(subnetwork: Subnetwork) -> dict[str, Any]:
    """-1, 0 and 1, int8, by layer."""
    return {name: np.sign(weight).astype(np.int8) for name, weight in subnetwork.weights().items()}


def measure(path: Path, args: argparse.Namespace) -> dict[str, Any]:
    subnetwork = load_ticket(path)
    tensors = subnetwork.tensors
    flips = [t.flips for t in tensors if t.flips is not None]
    row: dict[str, Any] = {"ticket": path.name, "file_bytes": path.stat().st_size}
    row |= {"arch": subnetwork.arch, "prune": subnetwork.prune, "scope": subnetwork.scope}
    row |= {"weights": subnetwork.size, "kept": subnetwork.kept}
    bound = mask_entropy_bytes(tensors)
    row["masks"] = ours([t.mask for t in tensors], bound, args.repeats)
    row["flips"] = ours(flips, sum(map(bits_entropy_bytes, tensors)) - bound, args.repeats)
    row["state_bytes"] = sum(array.nbytes for array in subnetwork.state.values())
    layers = ternary(subnetwork)
    raw = b"".join(layer.tobytes() for layer in layers.values())
    row["ternary"] = {"zlib": len(zlib.compress(raw, 9)), "lzma": len(lzma.compress(raw))}
    if args.nncodec:
        with tempfile.TemporaryDirectory() as folder:
            np.savez(f"{folder}/layers.npz", **layers)
            command = [args.nncodec, "-c", NNCODEC, f"{folder}/layers.npz"]
            done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
        row["ternary"]["nncodec"] = json.loads(done.stdout.splitlines()[-1])
        coded = row["masks"]["bytes"] + row["flips"]["bytes"]
        row["of_nncodec"] = round(coded / row["ternary"]["nncodec"]["bytes"], 4)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tickets", nargs="+", type=Path)
    parser.add_argument("--nncodec", help="an interpreter that has nncodec")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    rows = []
    for path in args.tickets:
        rows.append(measure(path, args))
        print(json.dumps(rows[-1], indent=1))
    write_record(args.record, __doc__.splitlines()[0], rows=rows)


if __name__ == "__main__":
    main()
