#!/usr/bin/env python3
"""How large tickets are beside their entropy and other codecs; what reading and writing takes on one core.

    python benchmarks/ticket_size.py --record benchmarks/records/NAME.json TICKET ...
    python benchmarks/ticket_size.py --nncodec /path/to/python --record ... TICKET ...

For each ticket, of any version, written again as of the latest: bytes of its parts, of what rebuilds the
weights, and of the state (raw bytes that lanes carry are counted where they belong); the bound of independent
bits per layer (masks, and which kept signs are flipped); the bits that remain under the file's contexts; of
continuous weights that moved, those of their places and draws; the
network's ternary weights by lzma and, where an interpreter has it, by nncodec (MPEG NNC), layer by layer as
int32. `allowed` is 1.01 times what the better of both bounds, contexts, origins, state and 2 kB take.

Times are of processes of their own, on one thread and one core, `--rounds` of each in turn with `--repeats`
in each; beside torch.load and safetensors of the dense weights and SHA-256 of as many bytes, which is part of
what verifying takes and says how fast the core was. With `--alone` nothing else runs on that core while a
process times (SCHED_FIFO, which root may ask for): for machines that others share, in bursts of a second.
Peak memory is that of the process above what it had before it began, over the dense weights.
"""

import argparse
import json
import lzma
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common.record import write_record
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket.container import opened
from recycle_pipeline.exporters.ticket.reader import read_verified
from recycle_pipeline.exporters.ticket.shares import carried_in, information_of, sections_of, shared_in
from recycle_pipeline.exporters.ticket.sizes import sizes_of
from recycle_pipeline.exporters.ticket.writer import ticket_bytes
from recycle_pipeline.models.subnetwork import (
    MaskedTensor,
    Subnetwork,
    bits_entropy_bytes,
    mask_entropy_bytes,
)

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
# What is imported, and what is timed; a first run, not counted, warms caches.
WORKS = {
    "ticket, verified": (
        "from recycle_pipeline.exporters.ticket.reader import read_verified",
        "read_verified(ticket)",
    ),
    "ticket, not verified": (
        "from recycle_pipeline.exporters.ticket.reader import load_ticket",
        "load_ticket(ticket).arrays()",
    ),
    "ticket, written": (
        "from recycle_pipeline.exporters.ticket.reader import load_ticket, stored_digests\n"
        "from recycle_pipeline.exporters.ticket.writer import ticket_bytes\n"
        "subnetwork, digests = load_ticket(ticket), stored_digests(ticket)",
        "ticket_bytes(subnetwork, digests)",
    ),
    "SHA-256, dense": (
        "import hashlib\n"
        "from recycle_pipeline.exporters.ticket.reader import load_ticket\n"
        "arrays = list(load_ticket(ticket).weights().values())",
        "[hashlib.sha256(array.data).digest() for array in arrays]",
    ),
    "safetensors, dense": ("import safetensors.numpy", "safetensors.numpy.load_file(dense + '.safetensors')"),
    "torch.load, dense": (
        "import torch; torch.set_num_threads(1)",
        "torch.load(dense + '.pt', weights_only=True)",
    ),
}
TIMED = """
import json, os, sys, time
ticket, dense = sys.argv[1:3]
os.sched_setaffinity(0, {{max(os.sched_getaffinity(0))}})
{setup}
def memory(which):
    return next(int(row.split()[1]) for row in open("/proc/self/status") if row.startswith(which)) * 1024
before, seconds = memory("VmRSS"), []
kept = {work}
more = memory("VmHWM") - before
del kept
if sys.argv[3:]:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
for _ in range({repeats}):
    started = time.perf_counter()
    kept = {work}
    seconds.append(time.perf_counter() - started)
    del kept
print(json.dumps({{"seconds": seconds, "peak_bytes": more}}))
"""


def sizes(path: Path, content: bytes, subnetwork: Subnetwork) -> dict[str, Any]:
    """Of a ticket's parts, beside bounds."""
    container, tensors = opened(content, path.name), subnetwork.tensors
    parts = {name: int(array.nbytes) for name, array in sorted(container.parts.items())}
    shares, carried = sizes_of(content, [tensor.name for tensor in tensors]), carried_in(container)
    state = sum(array.nbytes for array in subnetwork.state.values())
    row: dict[str, Any] = {"ticket": path.name, "bytes_before": path.stat().st_size, "bytes": len(content)}
    row |= {"arch": subnetwork.arch, "prune": subnetwork.prune, "scope": subnetwork.scope}
    row |= {"weights": subnetwork.size, "kept": subnetwork.kept, "moved": sum(t.moved for t in tensors)}
    mask_bound = mask_entropy_bytes(tensors)
    masks, moved = (bits / 8 for bits in information_of(container))
    sections = sections_of(container, shared_in(container))
    contexts = sections["contexts"]
    row |= {"parts": parts, "carried": carried, "sections": sections, "state_numbers_bytes": state}
    row |= {"weights_bytes": round(sum(shares.layers.values())), "state_bytes": shares.state}
    row["header_bytes"] = shares.header
    row["independent_bound"] = {"masks": round(mask_bound)}
    row["independent_bound"]["signs"] = round(sum(map(bits_entropy_bytes, tensors)) - mask_bound)
    row["model_bound"] = {"masks": round(masks), "signs": round(moved), "contexts": contexts}
    best = min(masks + contexts, mask_bound) + moved + shares.state
    if "sources" in parts:
        row["model_bound"] |= origins_bound(tensors)
        best += row["model_bound"]["sources"] + row["model_bound"]["draws"]
    row["allowed"] = round(1.01 * (best + 2000))
    row["within_allowed"] = len(content) <= row["allowed"]
    return row


def origins_bound(tensors: Sequence[MaskedTensor]) -> dict[str, int]:
    """Bytes at least of the origins of moved weights, if any place of a layer is as likely as another."""
    draws, places, elsewhere = [], 0.0, []
    for tensor in tensors:
        moved = tensor.moved_bits()
        if moved is None or tensor.sources is None or tensor.draws is None:
            continue
        away = tensor.sources[moved] != np.flatnonzero(tensor.mask)[moved]
        draws += [tensor.draws[moved][bits] for bits in (away, ~away)]
        elsewhere.append(away)
        places += np.count_nonzero(away) * math.log2(tensor.size)
    rows = np.concatenate(draws[::2]), np.concatenate(draws[1::2]), np.concatenate(elsewhere)
    return {"sources": round(places / 8), "draws": round(sum(map(entropy_bits, rows)) / 8)}


def entropy_bits(numbers: NDArray[Any]) -> float:
    """Of numbers of which each comes up as often as it does."""
    counts = np.unique(numbers, return_counts=True)[1].astype(float)
    return float((counts * np.log2(counts.sum() / counts)).sum())


def others(subnetwork: Subnetwork, nncodec: str | None, folder: str) -> dict[str, Any]:
    """The ternary weights by other codecs."""
    layers = {name: np.sign(weight).astype(np.int8) for name, weight in subnetwork.weights().items()}
    found: dict[str, Any] = {
        "lzma": len(lzma.compress(b"".join(layer.tobytes() for layer in layers.values())))
    }
    if nncodec:
        np.savez(f"{folder}/layers.npz", **layers)
        command = [nncodec, "-c", NNCODEC, f"{folder}/layers.npz"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
        found["nncodec"] = json.loads(done.stdout.splitlines()[-1])
    return found


def times(ticket: str, dense: str, weights: int, args: argparse.Namespace) -> dict[str, Any]:
    """Seconds and memory of each work, in processes of its own."""
    seconds: dict[str, list[float]] = {name: [] for name in WORKS}
    peaks: dict[str, list[int]] = {name: [] for name in WORKS}
    for _ in range(args.rounds):
        for name, (setup, work) in WORKS.items():
            script = TIMED.format(setup=setup, work=work, repeats=args.repeats)
            done = subprocess.run(
                [sys.executable, "-c", script, ticket, dense, *["alone"] * args.alone],
                capture_output=True,
                text=True,
                check=True,
            )
            said = json.loads(done.stdout)
            seconds[name] += said["seconds"]
            peaks[name].append(said["peak_bytes"])
    return {
        name: {
            "n": len(seconds[name]),
            "median_seconds": round(statistics.median(seconds[name]), 4),
            "least_seconds": round(min(seconds[name]), 4),
            "peak_over_dense": round(max(peaks[name]) / (4 * weights), 2),
        }
        for name in WORKS
    }


def measure(path: Path, args: argparse.Namespace) -> dict[str, Any]:
    import safetensors.numpy
    import torch

    subnetwork, _ = read_verified(path)
    content = ticket_bytes(subnetwork)
    row = sizes(path, content, subnetwork)
    with tempfile.TemporaryDirectory() as folder:
        row["ternary"] = others(subnetwork, args.nncodec, folder)
        if "nncodec" in row["ternary"]:
            whole = row["ternary"]["nncodec"]["bytes"]
            row |= {
                "weights_of_nncodec": round(row["weights_bytes"] / whole, 4),
                "file_of_nncodec": round(len(content) / whole, 4),
            }
        if args.repeats:
            ticket, dense = f"{folder}/ticket.safetensors", f"{folder}/dense"
            Path(ticket).write_bytes(content)
            safetensors.numpy.save_file(arrays := subnetwork.arrays(), f"{dense}.safetensors")
            torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, f"{dense}.pt")
            row["times"] = times(ticket, dense, subnetwork.size, args)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tickets", nargs="+", type=Path)
    parser.add_argument("--nncodec", help="an interpreter that has nncodec")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each work")
    parser.add_argument("--repeats", type=int, default=9, help="in a process; 0 times nothing")
    parser.add_argument("--alone", action="store_true", help="let nothing else run on the core meanwhile")
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    rows = []
    for path in args.tickets:
        rows.append(measure(path, args))
        print(json.dumps(rows[-1], indent=1), flush=True)
    write_record(args.record, __doc__.splitlines()[0], rows=rows)


if __name__ == "__main__":
    main()
