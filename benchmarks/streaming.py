#!/usr/bin/env python3
"""Whether a search on images that stay in a file keeps the GPU busy: ResNet-50 at 224 px, JPEGs in folders.

    python benchmarks/streaming.py --record benchmarks/records/NAME.json
    python benchmarks/streaming.py --engine compiled --record ...
    python benchmarks/streaming.py --device cpu --arch conv2 --images 64 --source-size 40 --image-size 32 \
        --batch-size 8 --epochs 4                                                               # smoke

Makes the JPEGs, decodes them into a cache of its own as `--data folder:PATH` does, then searches twice with
the project's functions: streamed, on all of them, and resident, on a few batches in the GPU's memory. Told:

    images/s streamed    of training, over whole epochs of steps; and with evaluation and all
    images/s resident    of the same steps one after the other on data that is there: the ceiling
    busy                 time within steps (CUDA events around each) / wall time of training, and of all
    nvidia-smi           utilization.gpu while streaming, a sample each quarter of a second
    feeding alone        images/s to the device with no steps, from the page cache and from a cold disk

The first epoch and the last, whose evaluation is another, are left out.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common.record import write_record
from PIL import Image

from recycle_pipeline.models.registry import build
from recycle_pipeline.pipeline.config import RunConfig
from recycle_pipeline.pipeline.data.folder import load_folder
from recycle_pipeline.pipeline.data.image_set import ImageSet
from recycle_pipeline.pipeline.device import find_device
from recycle_pipeline.pipeline.search import engines, loop
from recycle_pipeline.pipeline.search.captured import CapturedSteps
from recycle_pipeline.pipeline.search.listeners import Listeners
from recycle_pipeline.pipeline.search.records import EpochRecord
from recycle_pipeline.pipeline.search.streamed import training_images
from recycle_pipeline.pipeline.stages.search import settings_of

CLASSES = 10
RESIDENT_BATCHES = 20
OCTAVES = ((4, 90), (16, 50), (64, 25), (128, 12))  # sides of noise, and how strong it is


def write_jpeg(number: int, root: Path, side: int) -> int:
    """Writes one image of noise at several scales, tinted by its class; returns its bytes."""
    rng = np.random.default_rng(number)
    label = number % CLASSES
    total = np.full((side, side, 3), 110.0) + 12 * np.cos(label + np.arange(3))
    for cells, strength in OCTAVES:
        coarse = rng.normal(0, 1, (3, min(cells, side), min(cells, side))).astype(np.float32)
        planes = [Image.fromarray(p).resize((side, side), Image.Resampling.BICUBIC) for p in coarse]
        total += strength * np.stack([np.asarray(plane) for plane in planes], axis=-1)
    path = root / f"class{label}" / f"{number:07}.jpg"
    Image.fromarray(total.clip(0, 255).astype(np.uint8)).save(path, quality=85)
    return path.stat().st_size


def make_jpegs(root: Path, count: int, side: int) -> dict[str, Any]:
    for label in range(CLASSES):
        (root / f"class{label}").mkdir(parents=True)
    started = time.perf_counter()
    with get_context("fork").Pool(len(os.sched_getaffinity(0))) as pool:
        sizes = pool.map(partial(write_jpeg, root=root, side=side), range(count), chunksize=16)
    return {"kb_each": statistics.mean(sizes) / 1e3, "seconds": time.perf_counter() - started}


class TimedSteps(CapturedSteps):
    """The engine with the beginning and the end of every launch written down."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.times: dict[str, list[tuple[Any, Any]]] = {"train": [], "test": []}
        super().__init__(*arguments, **options)
        TimedSteps.last = self

    def complete(self) -> None:
        super().complete()
        for size, launch in self.launches.items():
            self.launches[size] = partial(self._timed, "train", launch)
        self._evaluation.launch = partial(self._timed, "test", self._evaluation.launch)

    last: "TimedSteps"

    def _mark(self) -> Any:
        if self._device.type == "cpu":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _timed(self, kind: str, launch: Callable[[], None]) -> None:
        begin = self._mark()
        launch()
        self.times[kind].append((begin, self._mark()))

    def take(self) -> dict[str, float]:
        """Seconds within training and test launches since the last call, and from the first to the last."""
        taken, self.times = self.times, {"train": [], "test": []}
        sums = {kind: sum(seconds(*pair) for pair in pairs) for kind, pairs in taken.items()}
        return sums | {"span": seconds(taken["train"][0][0], taken["train"][-1][1])}


def seconds(begin: Any, end: Any) -> float:
    if isinstance(begin, float):
        return end - begin
    end.synchronize()
    return begin.elapsed_time(end) / 1e3


class Utilization:
    """Samples of nvidia-smi between `start` and `stop`; none where it is not there."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._process = device, None
        self.samples: list[int] = []

    def start(self) -> None:
        if self._device.type == "cuda" and shutil.which("nvidia-smi"):
            name = str(torch.cuda.get_device_properties(self._device).uuid)
            query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
            query += ["-lms", "250", "-i", name if name.startswith("GPU-") else f"GPU-{name}"]
            self._process = subprocess.Popen(query, stdout=subprocess.PIPE, text=True)

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            lines = self._process.communicate()[0].split()
            self.samples = [int(line) for line in lines if line.isdigit()]
            self._process = None


def median(values: list[float]) -> dict[str, float]:
    low, high = min(values), max(values)
    return {"median": statistics.median(values), "low": low, "high": high, "n": len(values)}


def searched(args: argparse.Namespace, images: ImageSet, epochs: int) -> dict[str, Any]:
    """Searches, and says of its middle epochs how fast they were and how busy the device was."""
    device = find_device(args.device)
    given = {"batch_size": args.batch_size, "epochs": epochs, "image_size": args.image_size}
    settings = settings_of(RunConfig(arch=args.arch, data="folder:.", **given).resolve())
    network = build(args.arch, classes=CLASSES, channels=images.channels, image_size=args.image_size)
    rows: list[dict[str, float]] = []
    notes: list[str] = []
    utilization, ended = Utilization(device), [time.perf_counter()]

    def on_epoch(record: EpochRecord) -> None:
        ended.append(time.perf_counter())
        row = TimedSteps.last.take()
        row |= {"wall": ended[-1] - ended[-2], "trained": len(images.train_labels) / record.images_per_second}
        rows.append(row)
        print(f"  epoch {record.epoch}: {record.images_per_second:,.0f} images/s, loss {record.loss:.3f}")
        if record.epoch == 1:
            utilization.start()
        elif record.epoch == epochs - 1:
            utilization.stop()

    tell = Listeners(on_epoch, note=notes.append)
    engine = "captured" if device.type == "cpu" else args.engine
    loop.search(network, images, settings, device, tell, engine=engine)
    count, middle = len(images.train_labels), rows[1:-1]
    trained = sum(TimedSteps.last._sizes)  # a last batch of one image is left out

    return {
        "images": count,
        "training_images_per_second": median([trained / row["trained"] for row in middle]),
        "epoch_images_per_second": median([count / row["wall"] for row in middle]),
        "steps_images_per_second": median([trained / row["span"] for row in middle]),
        "busy_in_training": median([row["train"] / row["trained"] for row in middle]),
        "busy_in_all": median([(row["train"] + row["test"]) / row["wall"] for row in middle]),
        "nvidia_smi_utilization": median(utilization.samples) if utilization.samples else None,
        "notes": notes,
    }


def fed_alone(args: argparse.Namespace, images: ImageSet, *, cold: bool) -> float:
    """Images/s of an epoch's batches to the device, with no steps."""
    device = find_device(args.device)
    training = training_images(images, device, 0, args.batch_size)
    if cold:
        os.posix_fadvise(images.train_images._file._number, 0, 0, os.POSIX_FADV_DONTNEED)
    training.begin_epoch()
    sizes = training.batch_sizes(args.batch_size)
    started = time.perf_counter()
    with training.feeding():
        for _ in sizes:
            training.stage()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return sum(sizes) / (time.perf_counter() - started)


def measure(args: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    os.environ["RECYCLE_PIPELINE_CACHE"] = str(scratch / "cache")
    row: dict[str, Any] = {"jpegs": make_jpegs(scratch / "photos", args.images, args.source_size)}
    print(f"{args.images} JPEGs of {row['jpegs']['kb_each']:.1f} kB in {row['jpegs']['seconds']:.1f} s")
    load = partial(load_folder, str(scratch / "photos"), args.image_size, print, stream_above=0)
    for name in ("cache_built_seconds", "cache_found_seconds"):
        started = time.perf_counter()
        images = load()
        row[name] = time.perf_counter() - started
        print(f"{name} {row[name]:.2f}")
    row["decoded_gb"] = (images.train_images.nbytes + images.test_images.nbytes) / 1e9
    for name, cold in (("fed_alone_cold", True), ("fed_alone", False)):
        row[f"{name}_images_per_second"] = fed_alone(args, images, cold=cold)
        print(f"{name} {row[f'{name}_images_per_second']:,.0f} images/s")
    few = min(RESIDENT_BATCHES, len(images.train_labels) // args.batch_size) * args.batch_size
    resident = replace(
        images,
        train_images=np.asarray(images.train_images[:few]),
        train_labels=np.arange(few) % CLASSES,
        test_images=np.asarray(images.test_images[: args.batch_size]),
        test_labels=images.test_labels[: args.batch_size],
    )
    engines.CapturedSteps = TimedSteps  # type: ignore[misc]
    for name, data in (("streamed", images), ("resident", resident)):
        print(name)
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        row[name] = searched(args, data, args.epochs)
        if torch.cuda.is_available():
            row[name]["peak_memory_mb"] = round(torch.cuda.max_memory_allocated() / 1e6)
    ceiling = row["resident"]["steps_images_per_second"]["median"]
    row["ratio_to_ceiling"] = row["streamed"]["training_images_per_second"]["median"] / ceiling
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--engine", default="auto", choices=("auto", "captured", "compiled"))
    parser.add_argument("--arch", default="resnet50")
    parser.add_argument("--images", type=int, default=25000, help="a fifth of them become the test split")
    parser.add_argument("--source-size", type=int, default=256, help="side of the JPEGs")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=6, help="at least 3")
    parser.add_argument("--scratch", type=Path, help="a folder for JPEGs and cache, on the disk to measure")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        row = measure(args, Path(scratch))
    streamed, smi = row["streamed"], row["streamed"]["nvidia_smi_utilization"]
    print(
        f"streamed {streamed['training_images_per_second']['median']:,.0f} images/s in training, "
        f"{streamed['epoch_images_per_second']['median']:,.0f} with evaluation; "
        f"resident {row['resident']['steps_images_per_second']['median']:,.0f}; "
        f"ratio {row['ratio_to_ceiling']:.3f}; busy {streamed['busy_in_training']['median']:.1%} in "
        f"training, {streamed['busy_in_all']['median']:.1%} in all"
    )
    if smi:
        print(f"nvidia-smi says {smi['median']:.0f} % busy ({smi['low']} to {smi['high']}, n = {smi['n']})")
    given = {name: value for name, value in vars(args).items() if name not in ("record", "scratch")}
    write_record(args.record, __doc__.splitlines()[0], settings=given, result=row)


if __name__ == "__main__":
    main()
