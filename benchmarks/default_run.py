#!/usr/bin/env python3
"""The default command on this machine, from an empty folder: wall time, accuracy, parity, for several seeds.

python benchmarks/default_run.py --record benchmarks/records/NAME.json --seeds 0 1 2
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common.record import write_record

COMMAND = [sys.executable, "-c", "from recycle_pipeline.pipeline.cli import main; main()"]
OPTIONS = ["run", "--arch", "resnet18", "--prune", "0.9", "--export", "onnx", "--json", "--quiet"]


def one_run(seed: int) -> dict[str, Any]:
    """One run in a fresh folder: seconds by the wall, peak memory, and what verify found."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        command = [*COMMAND, *OPTIONS, "--seed", str(seed)]
        done = subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, text=True)
        wall = time.perf_counter() - started
    if done.returncode:
        sys.exit(done.stderr)
    stages = json.loads(done.stdout)["stages"]
    verify = stages["verify"]
    return {
        "seed": seed,
        "exit": done.returncode,
        "wall_seconds": round(wall, 1),
        "stage_seconds": {name: stage["seconds"] for name, stage in stages.items()},
        "ort_accuracy": verify["ort_accuracy"],
        "test_images": verify["n"],
        "max_difference": verify["max_difference"],
        "latency_ratio": verify["latency_ratio"],
        "ticket_bytes": stages["pack"]["bytes"],
        "peak_memory_mb_so_far": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3),
    }


def _environment() -> dict[str, str]:
    """The checkout's links, absolute, because the runs start in folders of their own."""
    links = Path(__file__).parent.parent / ".dev"
    return {**os.environ, "PYTHONPATH": f"{links.resolve()}:{os.environ.get('PYTHONPATH', '')}"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--record", type=Path, required=True)
    args = parser.parse_args()
    rows = []
    for seed in args.seeds:
        row = one_run(seed)
        rows.append(row)
        print(
            f"seed {seed}: {row['wall_seconds']} s, {row['ort_accuracy']:.2%} of {row['test_images']} "
            f"in ONNX Runtime, logits within {row['max_difference']:.1e}",
            flush=True,
        )
    accuracies = [row["ort_accuracy"] for row in rows]
    print(f"n = {len(rows)}: mean {statistics.mean(accuracies):.2%}, lowest {min(accuracies):.2%}")
    what = "recycle-pipeline run --arch resnet18 --prune 0.9 --export onnx, from an empty folder"
    write_record(args.record, what, rows=rows)


if __name__ == "__main__":
    main()
