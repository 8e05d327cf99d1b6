#!/usr/bin/env python3
"""How fast a search trains beside dense training of the same network, and beside a straightforward search.

    python benchmarks/search_speed.py --record benchmarks/records/NAME.json
    python benchmarks/search_speed.py --arms dense,compiled --widths 0.25 0.5 1 2 4 --no-epochs --record ...
    python benchmarks/search_speed.py --arms dense,compiled --batch-sizes 64 256 1024 --no-epochs --record ...
    python benchmarks/search_speed.py --arms compiled --profile --record ...

Each arm runs in a process of its own, one after the other on one GPU, on images of CIFAR-10's shape:

    straightforward  fp32, a full sort of every layer's scores in each forward pass, one kernel per operation
    dense            plain training in bfloat16 autocast, fused SGD, compiled and captured in a CUDA graph
    eager, captured, compiled   this project's engines

Timed are the step alone (data and augmentation on the GPU included) and, for this project's engines, whole
epochs with evaluation, as `recycle-pipeline search` runs them. Printed: median of the repeats.
"""

import argparse
import copy
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common.noise import random_images
from common.record import write_record
from torch import nn
from torch.nn import functional as F

from recycle_pipeline.models.masked_network import MaskedNetwork
from recycle_pipeline.models.options import ArchOptions
from recycle_pipeline.models.registry import build
from recycle_pipeline.pipeline.config import RunConfig
from recycle_pipeline.pipeline.data.image_set import ImageSet
from recycle_pipeline.pipeline.search.batches import TrainingImages
from recycle_pipeline.pipeline.search.captured import CapturedSteps
from recycle_pipeline.pipeline.search.eager import EagerSteps
from recycle_pipeline.pipeline.search.listeners import Listeners
from recycle_pipeline.pipeline.search.loop import search
from recycle_pipeline.pipeline.search.settings import SearchSettings
from recycle_pipeline.pipeline.search.steps import StepHooks
from recycle_pipeline.pipeline.stages.search import settings_of

ARMS = ("straightforward", "dense", "eager", "captured", "compiled")
NO_HOOKS = StepHooks(lambda step: False, lambda step: None, lambda done: None)
REPEATS, STEPS = 7, 60
Work = Callable[[], None]


class SortedConv(nn.Conv2d):
    """Edge-popup as first written down: scores sorted in every forward pass."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._conv_forward(x, self.effective(), None)

    def effective(self) -> torch.Tensor:
        magnitudes = self.scores.abs()
        order = magnitudes.detach().flatten().sort().indices
        mask = torch.ones_like(magnitudes.detach()).flatten()
        mask[order[: int(0.9 * mask.numel())]] = 0
        mask = (mask.view_as(magnitudes) - magnitudes).detach() + magnitudes  # straight through
        gain = (self.weight.abs() * mask).sum().detach() / mask.detach().sum()
        return gain * self.weight.sign() * mask


class SortedLinear(nn.Linear):
    """The same for the classifier."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, SortedConv.effective(self))  # type: ignore[arg-type]


def straightforward(network: nn.Module) -> list[nn.Parameter]:
    scores = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.__class__ = SortedConv if isinstance(module, nn.Conv2d) else SortedLinear
            module.weight.requires_grad_(False)
            module.scores = nn.Parameter(torch.randn_like(module.weight) * 0.01)
            scores.append(module.scores)
    return scores


def timed(work: Work, images: int) -> dict[str, float]:
    """Images/s of `work`, which trains on that many images."""
    rates = []
    for _ in range(REPEATS):
        torch.cuda.synchronize()
        started = time.perf_counter()
        work()
        torch.cuda.synchronize()
        rates.append(images / (time.perf_counter() - started))
    return {"images_per_second": statistics.median(rates), "low": min(rates), "high": max(rates)}


def plain_arm(arm: str, network: nn.Module, images: ImageSet, settings: SearchSettings) -> Work:
    """A function that trains for STEPS steps."""
    device = torch.device("cuda")
    torch.backends.cudnn.benchmark = True  # as this project's engines have it
    training, batch = TrainingImages(images, device, 0), settings.batch_size
    positions = torch.arange(batch, device=device)
    training.begin_epoch()
    network.train()
    if arm == "straightforward":
        optimizer = torch.optim.SGD(straightforward(network), 0.1, 0.9, weight_decay=5e-4)

        def step() -> None:
            pictures, labels = training.batch(positions)
            optimizer.zero_grad()
            F.cross_entropy(network(pictures), labels).backward()
            optimizer.step()

        return lambda: [step() for _ in range(STEPS)] and None
    network.to(memory_format=torch.channels_last)
    fused = torch.optim.SGD(network.parameters(), 0.1, 0.9, weight_decay=5e-4, fused=True)

    def loss_of(pictures: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cuda", torch.bfloat16):
            logits = network(pictures.contiguous(memory_format=torch.channels_last))
        return F.cross_entropy(logits.float(), labels)

    compiled, prepared = torch.compile(loss_of, dynamic=False), torch.compile(training.batch, dynamic=False)

    def dense_step() -> None:
        fused.zero_grad(set_to_none=True)
        compiled(*prepared(positions)).backward()
        fused.step()

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            dense_step()
    torch.cuda.current_stream().wait_stream(stream)
    fused.zero_grad(set_to_none=True)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        dense_step()
    return lambda: [graph.replay() for _ in range(STEPS)] and None


def engine_arm(arm: str, network: nn.Module, images: ImageSet, settings: SearchSettings) -> Work:
    device = torch.device("cuda")
    plain = copy.deepcopy(network)
    masked = MaskedNetwork(network, settings.recipe)
    training = TrainingImages(images, device, 0)
    if arm == "eager":
        steps: Any = EagerSteps(masked, training, images, settings)
        return lambda: steps.train_epoch(0, settings.recipe.prune, NO_HOOKS) and None
    steps = CapturedSteps(masked, plain, training, images, settings, compiled=arm == "compiled")
    launch = steps.launches[settings.batch_size]

    per_epoch = len(images.train_labels) // settings.batch_size

    def work() -> None:
        for step in range(STEPS):
            if step % per_epoch == 0:
                steps.rewind()
            launch()

    return work


def run_arm(args: argparse.Namespace) -> dict[str, Any]:
    images = random_images(args.images, side=args.side)
    config = RunConfig(
        arch=args.arch, width=args.width, data="cifar10", batch_size=args.batch_size, epochs=8
    ).resolve()
    settings = settings_of(config)
    network = build(args.arch, classes=10, channels=3, image_size=args.side, options=config.options)
    network.to("cuda")
    torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    make = plain_arm if args.arm in ("straightforward", "dense") else engine_arm
    few = random_images(args.batch_size * STEPS, side=args.side) if args.arm == "eager" else images
    work = make(args.arm, network, few, settings)
    work()
    torch.cuda.synchronize()
    row: dict[str, Any] = {"arm": args.arm, "arch": args.arch}
    row |= {"width": args.width, "batch_size": args.batch_size}
    row["seconds_until_ready"] = round(time.perf_counter() - started, 1)
    row |= timed(work, STEPS * args.batch_size)
    row["peak_memory_mb"] = round(torch.cuda.max_memory_allocated() / 1e6)
    row["reserved_memory_mb"] = round(torch.cuda.max_memory_reserved() / 1e6)
    if args.profile:
        row["kernels"] = profiled(work)
    if args.epochs and args.arm in ("captured", "compiled"):
        row["epochs"] = whole_epochs(args, images, settings)
    return row


def profiled(work: Work) -> list[dict[str, Any]]:
    """Where the GPU's time goes: the kernels that take most of it, in microseconds per step."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as recorded:
        work()
        torch.cuda.synchronize()
    events = sorted(recorded.key_averages(), key=lambda event: -event.self_device_time_total)
    return [
        {"kernel": e.key[:100], "us": round(e.self_device_time_total / STEPS, 1), "calls": e.count / STEPS}
        for e in events[:200]
    ]


def whole_epochs(args: argparse.Namespace, images: ImageSet, settings: SearchSettings) -> dict[str, float]:
    """Images/s from the end of the first epoch to that of the last but one, evaluations and events included.

    The last epoch's exact evaluation in float32 happens once per search and is left out.
    """
    ends: list[float] = []
    options = ArchOptions(width=args.width)
    network = build(args.arch, classes=10, channels=3, image_size=args.side, options=options)
    on_epoch = lambda record: ends.append(time.perf_counter())  # noqa: E731
    search(network, images, settings, torch.device("cuda"), Listeners(on_epoch), engine=args.arm)
    seconds = np.diff(ends[:-1])
    rates = len(images.train_labels) / seconds
    return {
        "images_per_second": float(np.median(rates)),
        "low": rates.min(),
        "high": rates.max(),
        "n": len(rates),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", type=Path)
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--widths", type=float, nargs="+")
    parser.add_argument("--batch-sizes", type=int, nargs="+")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--images", type=int, default=50000)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--epochs", action=argparse.BooleanOptionalAction, default=True)
    args = parser.parse_args()
    if args.arm:
        print(json.dumps(run_arm(args)))
        return
    rows = []
    sizes = [(w, b) for w in args.widths or [args.width] for b in args.batch_sizes or [args.batch_size]]
    for arm, (width, batch) in itertools.product(args.arms.split(","), sizes):
        own = ["--arm", arm, "--width", str(width), "--batch-size", str(batch)]
        done = subprocess.run([sys.executable, *sys.argv, *own], capture_output=True, text=True)
        if done.returncode:
            print(arm, width, batch, done.stderr[-3000:])
            continue
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(json.dumps(rows[-1]), flush=True)
    facts = {"n": REPEATS, "steps_per_repeat": STEPS, "images": args.images, "side": args.side}
    write_record(args.record, __doc__.splitlines()[0], **facts, rows=rows)


if __name__ == "__main__":
    main()
