#!/usr/bin/env python3
"""The share of a search's time that checkpoints cost: ResNet-18 on digits, with and without them.

    python benchmarks/checkpoint_cost.py --record benchmarks/records/NAME.json

Searches of both kinds take turns, so that what else the machine does falls on both alike. Two figures per
device: the difference of their median times, and the time that the search's own thread spent on checkpoints
(copies, waiting for the disk), which is measured far more exactly than the difference but does not see what
the writing thread takes from the others. On CUDA as many epochs as a search of CIFAR-10 has would take, on
images of its shape, because an epoch of digits is too short to tell.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from common.noise import random_images
from common.record import write_record

from recycle_pipeline.models.registry import build
from recycle_pipeline.pipeline.config import RunConfig
from recycle_pipeline.pipeline.data import load
from recycle_pipeline.pipeline.data.image_set import ImageSet
from recycle_pipeline.pipeline.search.checkpoints import Checkpoints
from recycle_pipeline.pipeline.search.listeners import Listeners
from recycle_pipeline.pipeline.search.loop import search
from recycle_pipeline.pipeline.stages.search import settings_of


class Timed(Checkpoints):
    """Counts the seconds that the search's thread spends in it."""

    spent = 0.0

    def take(self, *arguments: Any) -> None:
        started = time.perf_counter()
        super().take(*arguments)
        self.spent += time.perf_counter() - started

    def settled(self, *arguments: Any) -> bool:
        started = time.perf_counter()
        settled = super().settled(*arguments)
        self.spent += time.perf_counter() - started
        return settled

    def __exit__(self, *arguments: Any) -> None:
        started = time.perf_counter()
        super().__exit__(*arguments)
        self.spent += time.perf_counter() - started


def one_search(
    images: ImageSet, device: torch.device, epochs: int, batch_size: int, path: Path | None
) -> tuple[float, float]:
    """Seconds from the end of the first epoch, which prepares, to the end; and those within checkpoints."""
    config = RunConfig(arch="resnet18", epochs=epochs, reuse_period=2, batch_size=batch_size).resolve()
    network = build(
        "resnet18", classes=len(images.classes), channels=images.channels, image_size=images.image_size
    )
    marks: list[float] = []

    def on_epoch(record: object) -> None:
        marks.append(time.perf_counter())

    if path is None:
        search(network, images, settings_of(config), device, Listeners(on_epoch))
        return time.perf_counter() - marks[0], 0.0
    with Timed(path, {}, print) as checkpoints:
        search(network, images, settings_of(config), device, Listeners(on_epoch), checkpoints=checkpoints)
    return time.perf_counter() - marks[0], checkpoints.spent


def measure(device: str, epochs: int, repeats: int, batch_size: int) -> dict[str, Any]:
    images = load("digits") if device == "cpu" else random_images()
    with tempfile.TemporaryDirectory(dir=".") as folder:
        path = Path(folder) / "checkpoint.safetensors"
        rows, size = [], 0
        for _ in range(repeats):
            without, _ = one_search(images, torch.device(device), epochs, batch_size, None)
            seconds, spent = one_search(images, torch.device(device), epochs, batch_size, path)
            rows.append({"without": without, "with": seconds, "in_checkpoints": spent})
            size = path.stat().st_size
            path.unlink()
            print(f"  {without:.2f} s without, {seconds:.2f} s with, {spent:.3f} s of them in checkpoints")
    medians = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    return {
        "device": device,
        "data": images.name,
        "epochs": epochs,
        "batch_size": batch_size,
        "bytes": size,
        "rows": rows,
        "share_by_difference": medians["with"] / medians["without"] - 1.0,
        "share_in_search_thread": medians["in_checkpoints"] / medians["with"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", type=Path)
    parser.add_argument("--devices", nargs="+", choices=("cpu", "cuda"), help="all there are, unless said")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch-size", type=int, help="64, that of digits, unless said")
    args = parser.parse_args()
    results = []
    for device in args.devices or (["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]):
        print(f"{device}: ResNet-18, {args.epochs} epochs, {args.repeats} times each")
        result = measure(device, args.epochs, args.repeats, args.batch_size or 64)
        results.append(result)
        print(f"  checkpoints of {result['bytes'] / 1e6:.0f} MB cost, as a share of the time:")
        print(f"  {result['share_by_difference']:.2%} by difference")
        print(f"  {result['share_in_search_thread']:.2%} in the search's own thread")
    write_record(args.record, "time of a search with and without checkpoints", results=results)


if __name__ == "__main__":
    main()
