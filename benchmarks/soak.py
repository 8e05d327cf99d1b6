#!/usr/bin/env python3
"""Many small runs in one process, and many inferences: what of memory, handles, threads and latency drifts.

    python benchmarks/soak.py --runs 200 --inferences 10000 --record benchmarks/records/NAME.json

Each run is whole: search, ticket, export, verification and report, of another seed, in a folder that is
removed after it. After each one, and a collection, are read: memory that the process holds (RSS, and what of
it is no file's), of glibc's malloc what it took from the system and what of it is in use (a leak is in that,
room between blocks is not), Python's blocks, open files and threads. Growth is the slope of a line through
the second half of the runs (Theil-Sen), per run, and what it comes to over all of them; the first half warms
caches. `--trim` has malloc give back after each run what nobody uses; without it that is done once, in the
end. Inferences are those of the exported model by one session; drift is the median of the last tenth against
that of the first, both after a warm-up of a tenth.
"""

import argparse
import contextlib
import ctypes
import gc
import io
import os
import resource
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from common.record import write_record
from scipy.stats import theilslopes

LINE = (
    "run",
    "--arch",
    "conv2",
    "--width",
    "0.25",
    "--epochs",
    "1",
    "--batch-size",
    "256",
    "--device",
    "cpu",
)

MISSED = (
    4  # accuracy's gate: of a network that was hardly searched logits may tie, and two images go either way
)


LIBC = ctypes.CDLL("libc.so.6")


class MallInfo(ctypes.Structure):
    """What glibc's mallinfo2 says, bytes over all arenas."""

    _fields_ = (
        *((name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd")),
        *((name, ctypes.c_size_t) for name in ("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")),
    )


LIBC.mallinfo2.restype = MallInfo


def state() -> dict[str, int]:
    """Of this process, now."""
    gc.collect()
    malloc = LIBC.mallinfo2()
    _, resident, files, *_ = map(int, Path("/proc/self/statm").read_text().split())
    return {
        "rss_bytes": resident * resource.getpagesize(),
        "anonymous_bytes": (resident - files) * resource.getpagesize(),
        "heap_bytes": malloc.arena + malloc.hblkhd,
        "in_use_bytes": malloc.uordblks + malloc.hblkhd,
        "python_blocks": sys.getallocatedblocks(),
        "open_files": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
        "python_threads": threading.active_count(),
    }


def run(seed: int, root: Path) -> None:
    """A whole run by the command, which must end with 0 or a missed gate."""
    from recycle_pipeline.pipeline.cli import main

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            main([*LINE, "--seed", str(seed), "--output-dir", str(root), "--quiet"])
        except SystemExit as stop:
            if stop.code not in (None, 0, MISSED):
                raise RuntimeError(f"run {seed} ended with {stop.code}: {said.getvalue()}") from stop


def soaked(
    runs: int, work: Path, wrote: Callable[[list[dict[str, int]]], None], *, trim: bool
) -> list[dict[str, int]]:
    """The state after each run; the last one's folder stays. `wrote` gets all of them after every tenth."""
    states = []
    for seed in range(runs):
        root = work / str(seed)
        run(seed, root)
        if trim:
            gc.collect()
            LIBC.malloc_trim(0)
        states.append(state())
        if seed + 1 < runs:
            shutil.rmtree(root)
        if (seed + 1) % 10 == 0:
            wrote(states)
    return states


def growth(states: list[dict[str, int]]) -> dict[str, Any]:
    """Of each number over the second half: per run, and over all runs if it went on like that."""
    half = states[len(states) // 2 :]
    found: dict[str, Any] = {}
    for name in states[0]:
        values = [each[name] for each in half]
        slope = float(theilslopes(values)[0]) if len(values) > 2 else 0.0
        found[name] = {
            "first": states[0][name],
            "middle": values[0],
            "last": values[-1],
            "most": max(each[name] for each in states),
            "per_run": round(slope, 3),
            "over_all": round(slope * len(states)),
        }
    return found


def latencies(path: Path, number: int) -> dict[str, Any]:
    """Of single images, in us."""
    from recycle_pipeline.evaluators.session import open_session

    model = open_session(path, "cpu", threads=1)
    images = np.random.default_rng(0).random((1, 1, 8, 8), np.float32)
    times = np.empty(number + number // 10)
    for index in range(len(times)):
        start = time.perf_counter_ns()
        model.predict(images)
        times[index] = (time.perf_counter_ns() - start) / 1000
    times = times[number // 10 :]
    tenths = [round(float(np.median(part)), 2) for part in np.array_split(times, 10)]
    return {
        "n": number,
        "medians_of_tenths_us": tenths,
        "last_against_first": round(tenths[-1] / tenths[0], 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--inferences", type=int, default=10_000)
    parser.add_argument("--trim", action="store_true")
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    import recycle_pipeline.pipeline.stages.verify as verify

    verify.LATENCY_SECONDS = 0.0
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:

        def wrote(states: list[dict[str, int]]) -> None:
            so_far = {"runs": len(states), "growth": growth(states), "states": states}
            write_record(args.record, __doc__.splitlines()[0], **so_far)

        states = soaked(args.runs, Path(scratch), wrote, trim=args.trim)
        LIBC.malloc_trim(0)
        found = {"runs": args.runs, "growth": growth(states), "after_trim": state(), "states": states}
        found["left_in_temporary_folder"] = len(os.listdir(scratch)) - 1
        found["inferences"] = latencies(
            Path(scratch) / str(args.runs - 1) / "onnx/model.onnx", args.inferences
        )
        found["after_inferences"] = state()
    found["seconds"] = round(time.monotonic() - began, 1)
    print({name: value for name, value in found.items() if name != "states"})
    write_record(args.record, __doc__.splitlines()[0], **found)


if __name__ == "__main__":
    main()
