"""Seconds and memory of opening ONNX models, each in a process of its own, as a deployment sees it."""

import json
import random
import statistics
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from recycle_pipeline.evaluators.custom_operators import needs_kernels
from recycle_pipeline.evaluators.samples import MIN_ROUNDS, LatencySamples, ratio_of_medians
from recycle_pipeline.models.kernel_library import library_path

Row = dict[str, float]
PROGRAM = """
import json, re, resource, sys, time
import onnxruntime
if sys.argv[2] != "CPUExecutionProvider":
    import torch
    onnxruntime.preload_dlls()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads, options.log_severity_level = int(sys.argv[3]), 3
for library in sys.argv[4:]:
    options.register_custom_ops_library(library)
def peak():
    return int(re.search("VmHWM:\\\\s+([0-9]+)", open("/proc/self/status").read())[1]) / 1024
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt * resource.getpagesize() / 2**20
before, touched, seconds, cpu = peak(), faults(), [], []
for _ in range(2):
    started, used = time.perf_counter(), time.process_time()
    session = onnxruntime.InferenceSession(sys.argv[1], options, providers=[sys.argv[2]])
    seconds.append(time.perf_counter() - started)
    cpu.append(time.process_time() - used)
    if len(seconds) == 1:
        after, touched = peak(), faults() - touched
found = {"first": seconds[0], "again": seconds[1], "first_cpu": cpu[0], "again_cpu": cpu[1]}
print(json.dumps(found | {"before_mb": before, "added_mb": after - before, "touched_mb": touched}))
"""


def opened_afresh(path: Path, provider: str, threads: int) -> Row:
    """Two sessions in a new process.

    Args:
        path: the model.
        provider: by onnxruntime's name.
        threads: of one operator.

    Returns:
        Seconds of the first session and of another, by the clock and of the processor, which other work
        disturbs less; peak memory before, in MB, and what the first session added to it; and how much memory
        the first session touched for the first time, by page faults, in MB.
    """
    library = [str(library_path())] if needs_kernels(str(path)) else []
    command = [sys.executable, "-c", PROGRAM, str(path), provider, str(threads), *library]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return row


def fresh_sessions(
    paths: Mapping[str, Path], base: str, provider: str, threads: int, rounds: int
) -> dict[str, dict[str, object]]:
    """Medians over rounds in which every model has its turn, in random order, and ratios to one of them.

    Args:
        paths: by name.
        base: the name that others are compared with.
        provider, threads: as `opened_afresh`.
        rounds: fewer than `MIN_ROUNDS` have no intervals.

    Returns:
        By name: medians; ratios of seconds, with 95 % intervals, and of added memory.
    """
    rows: dict[str, list[Row]] = {name: [] for name in paths}
    for _ in range(rounds):
        for name in random.sample(list(paths), len(paths)):
            rows[name].append(opened_afresh(paths[name], provider, threads))
    median = {
        name: {key: statistics.median(row[key] for row in each) for key in each[0]}
        for name, each in rows.items()
    }
    found: dict[str, dict[str, object]] = {}
    for name, each in rows.items():
        found[name] = {**median[name], "n": rounds}
        found[name]["memory_ratio"] = median[name]["added_mb"] / median[base]["added_mb"]
        for key in ("first", "again", "first_cpu", "again_cpu"):
            found[name][f"{key}_ratio"] = median[name][key] / median[base][key]
            if rounds >= MIN_ROUNDS:
                pair = (LatencySamples(tuple(row[key] for row in of)) for of in (each, rows[base]))
                found[name][f"{key}_interval"] = asdict(ratio_of_medians(*pair, 0))
    return found
