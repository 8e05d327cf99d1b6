#!/usr/bin/env python3
"""How a search's speed grows with processes: images/s over whole epochs at one batch per process.

    python benchmarks/scaling.py --record benchmarks/records/NAME.json
    python benchmarks/scaling.py --device cpu --arch conv2 --batch-size 64 --images 2000 --epochs 4    # smoke

Each number of processes is started anew by torchrun, one after the other, on noise in CIFAR-10's shape that
every process holds. An epoch is the same images whatever the number, so with more processes it has fewer
steps. Timed are whole epochs with evaluation, as `recycle-pipeline search` runs them, but for the first
epoch and the last, whose evaluation is another.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common.noise import random_images
from common.record import write_record

from recycle_pipeline.models.registry import build
from recycle_pipeline.pipeline.config import RunConfig
from recycle_pipeline.pipeline.device import device_among
from recycle_pipeline.pipeline.processes import leave, ranks_here
from recycle_pipeline.pipeline.search.distributed import ALONE, form_world
from recycle_pipeline.pipeline.search.listeners import Listeners
from recycle_pipeline.pipeline.search.loop import search
from recycle_pipeline.pipeline.search.records import EpochRecord
from recycle_pipeline.pipeline.stages.search import settings_of
from recycle_pipeline.pipeline.together import Together


def one_process(args: argparse.Namespace) -> None:
    """Searches with the processes that torchrun started; the first prints what it measured."""
    ranks = ranks_here()
    device, own = device_among(args.device, ranks)
    if device.type == "cuda":
        torch.cuda.set_device(device.index or 0)
    images = random_images(args.images, args.images // 5)
    given = {"batch_size": args.batch_size, "epochs": args.epochs, "processes": ranks.size}
    config = RunConfig(arch=args.arch, data="cifar10", **given).resolve()
    ends: list[float] = []
    steps: list[float] = []

    def on_epoch(record: EpochRecord) -> None:
        ends.append(time.perf_counter())
        steps.append(record.images_per_second)

    with ExitStack() as stack:
        together = stack.enter_context(Together(ranks)) if ranks.size > 1 else None
        world = form_world(together, device, own=own) if together else ALONE
        network = build(args.arch, classes=10, channels=3, image_size=32)
        notes: list[str] = []
        engine = "compiled" if device.type == "cuda" else "auto"  # auto goes by the number of steps
        tell = Listeners(on_epoch, note=notes.append)
        search(network, images, settings_of(config), device, tell, engine, world)
        world.close()
    if ranks.rank == 0:
        rates = args.images / np.diff(ends[:-1])
        row: dict[str, Any] = {"processes": ranks.size, "batch_size": args.batch_size, "arch": args.arch}
        row |= {"images_per_second": float(np.median(rates)), "low": rates.min(), "high": rates.max()}
        row |= {"training_alone": statistics.median(steps[1:-1]), "n": len(rates), "notes": notes}
        row |= {"device": str(device), "nccl": bool(together and world.graphs)}
        print(json.dumps(row), flush=True)


def measure(count: int) -> dict[str, Any]:
    """The row of this many processes."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    command = [sys.executable, *(launch if count > 1 else []), *sys.argv, "--one"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{count} processes: {done.stderr[-3000:]}")
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", type=Path)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--batch-size", type=int, default=256, help="per process")
    parser.add_argument("--images", type=int, default=50000)
    parser.add_argument("--epochs", type=int, default=24, help="at least 4")
    args = parser.parse_args()
    if args.one:
        one_process(args)
        leave(0)
    rows = []
    for count in args.processes:
        rows.append(measure(count))
        row, times = rows[-1], rows[-1]["images_per_second"] / rows[0]["images_per_second"]
        print(
            f"{count} processes: {row['images_per_second']:,.0f} images/s over whole epochs "
            f"({row['low']:,.0f} to {row['high']:,.0f}, n = {row['n']}), {times:.2f} x; "
            f"training alone {row['training_alone']:,.0f}",
            flush=True,
        )
    what = __doc__.splitlines()[0]
    write_record(args.record, what, images=args.images, epochs=args.epochs, rows=rows)


if __name__ == "__main__":
    main()
