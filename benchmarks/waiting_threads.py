#!/usr/bin/env python3
"""Images/s of a search whose threads wait for each other awake, as libgomp does by itself, or asleep.

    python benchmarks/waiting_threads.py --arch resnet18 --steps 8 --record benchmarks/records/NAME.json
    python benchmarks/waiting_threads.py --arch conv2 --width 0.25 --steps 60 --taken 1

The first steps of a search of digits, batch 64, each time in a process of its own; the ways take turns, so
that what else the machine does falls on all alike. Figures are of the median step. `--taken` has so many
other programs compute beside them. The load before each search is in the record.
"""

import argparse
import contextlib
import itertools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from common.record import write_record

from recycle_pipeline.pipeline.config import RunConfig

WAYS = {
    "awake": {},
    "asleep": {"OMP_WAIT_POLICY": "PASSIVE"},
    "asleep after 1,000 looks": {"GOMP_SPINCOUNT": "1000"},
    "asleep after 10,000 looks": {"GOMP_SPINCOUNT": "10000"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
CHOOSE = ("OMP_WAIT_POLICY", "OMP_NUM_THREADS", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
BATCH = 64


class Enough(Exception):
    """Steps were timed."""


@contextlib.contextmanager
def taken(cores: int) -> Iterator[None]:
    """So many processes compute while it lasts."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cores)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def median_step(arch: str, width: float, steps: int) -> float:
    """Seconds, after two steps that prepare; in this process."""
    import torch

    from recycle_pipeline.models.options import ArchOptions
    from recycle_pipeline.models.registry import build
    from recycle_pipeline.pipeline.data import load
    from recycle_pipeline.pipeline.search.listeners import Listeners
    from recycle_pipeline.pipeline.search.loop import search
    from recycle_pipeline.pipeline.stages.search import settings_of

    marks: list[float] = []

    def on_step(done: int, total: int, so_far: object) -> None:
        marks.append(time.perf_counter())
        if done == steps + 2:
            raise Enough

    images = load("digits")
    network = build(arch, classes=10, channels=1, image_size=8, options=ArchOptions(width))
    settings = settings_of(RunConfig(arch=arch, width=width, batch_size=BATCH).resolve())
    with contextlib.suppress(Enough):
        search(network, images, settings, torch.device("cpu"), Listeners(step=on_step))
    return statistics.median(after - before for before, after in itertools.pairwise(marks[1:]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--taken", type=int, default=0, metavar="CORES")
    parser.add_argument("--record", type=Path)
    parser.add_argument("--here", action="store_true", help="one way, in this process")
    args = parser.parse_args()
    if args.here:
        print(median_step(args.arch, args.width, args.steps))
        return
    environment = {name: value for name, value in os.environ.items() if name not in CHOOSE}
    rows = []
    with taken(args.taken):
        for _, (name, way) in itertools.product(range(args.rounds), WAYS.items()):
            load = os.getloadavg()[0]
            line = [sys.executable, *sys.argv, "--here"]
            done = subprocess.run(line, env=environment | way, check=True, capture_output=True, text=True)
            rows.append(
                {"way": name, "load": round(load, 2), "images_per_second": BATCH / float(done.stdout)}
            )
            print(f"  load {load:.2f}, {name}: {rows[-1]['images_per_second']:,.0f} images/s", flush=True)
    speeds = {way: [row["images_per_second"] for row in rows if row["way"] == way] for way in WAYS}
    medians = {way: statistics.median(found) for way, found in speeds.items()}
    facts = {"arch": args.arch, "width": args.width, "taken": args.taken, "medians": medians, "rows": rows}
    write_record(args.record, __doc__.splitlines()[0], **facts)


if __name__ == "__main__":
    main()
