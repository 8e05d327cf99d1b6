#!/usr/bin/env python3
"""Accuracy of searches side by side: runs named arms as commands, several at once, and records them.

    python benchmarks/search_quality.py --data-root DIR --record benchmarks/records/NAME.json ARM[:SEED] ...

Each arm is `recycle-pipeline search` with its options; what is recorded is the last epoch's test
accuracy (nothing is chosen by it), the best epoch's beside it, and the time. Arms of one call run
`--jobs` at a time on one GPU, so their images/s are those of a shared GPU.
"""

import argparse
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from common.record import write_record

BASE = ["--arch", "resnet18", "--prune", "0.9", "--data", "cifar10", "--epochs", "30", "--batch-size", "256"]
BASE += ["--init", "kaiming_normal"]  # as published for Biprop; continuous arms say their own
ARMS: dict[str, list[str]] = {
    "default": [],
    "label-smoothing": ["--label-smoothing", "0.1"],
    "no-reuse": ["--reuse", "none"],
    "rerandomize": ["--reuse", "rerandomize"],
    "continuous": ["--subnetwork", "continuous", "--init", "signed_constant"],
    "continuous-no-reuse": ["--subnetwork", "continuous", "--init", "signed_constant", "--reuse", "none"],
    "global": ["--scope", "global"],
    "unscaled": ["--scale-fan", "none"],
    "published-scale": ["--scale-fan", "published"],
}
COMMAND = [sys.executable, "-c", "from recycle_pipeline.pipeline.cli import main; main()", "search"]


def run_arm(arm: str, seed: int, data_root: str, folder: Path) -> dict[str, Any]:
    """One search; its facts, or what went wrong."""
    output = folder / f"{arm}-{seed}"
    options = [*BASE, *ARMS[arm], "--seed", str(seed), "--data-root", data_root, "--output-dir", str(output)]
    started = time.perf_counter()
    done = subprocess.run([*COMMAND, *options, "--json", "--quiet"], capture_output=True, text=True)
    row: dict[str, Any] = {"arm": arm, "seed": seed, "options": ARMS[arm], "exit": done.returncode}
    row["wall_seconds"] = round(time.perf_counter() - started, 1)
    if done.returncode:
        return row | {"error": done.stderr[-500:]}
    facts = json.loads(done.stdout)["stages"]["search"]
    wanted = (
        "test_accuracy",
        "best_test_accuracy",
        "kept",
        "weights",
        "moved",
        "seconds",
        "images_per_second",
    )
    return row | {name: facts[name] for name in wanted}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("arms", nargs="+", metavar="ARM[:SEED]", help=", ".join(ARMS))
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--folder", type=Path, default=Path("runs/search-quality"))
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=6)
    args = parser.parse_args()
    pairs = [(name, int(seed or 0)) for name, _, seed in (arm.partition(":") for arm in args.arms)]
    with ThreadPoolExecutor(args.jobs) as pool:
        rows = list(pool.map(lambda pair: run_arm(*pair, args.data_root, args.folder), pairs))
    for row in rows:
        print(
            f"{row['arm']:20} seed {row['seed']}  last {row.get('test_accuracy', 0):.2%}  "
            f"best {row.get('best_test_accuracy', 0):.2%}  moved {row.get('moved', 0):,}  "
            f"{row['wall_seconds']} s  {row.get('error', '')}"
        )
    what = "last-epoch CIFAR-10 test accuracy of ResNet-18 searches, 90 % removed, 30 epochs, batch 256"
    write_record(args.record, what, jobs_on_one_gpu=args.jobs, base_options=BASE, rows=rows)


if __name__ == "__main__":
    main()
