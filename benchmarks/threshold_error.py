#!/usr/bin/env python3
"""How far the masks between two exact rankings are from the asked count: ResNet-18 on CIFAR-10.

    python benchmarks/threshold_error.py --data-root DIR --record benchmarks/records/NAME.json

The fast engine carries each large layer's threshold from step to step (docs/methods.md). Here a search is
run with it, and every `--every` steps the weights it keeps are counted, layer by layer, and compared with the
count asked for. Printed: the error as a share of the kept count, over all and the worst layer of each look,
by epoch. At an epoch's end and at every event masks are exact, which is not counted here.
"""

import argparse
import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common.record import write_record

from recycle_pipeline.models.masked_network import MaskedNetwork
from recycle_pipeline.models.registry import build
from recycle_pipeline.pipeline.config import RunConfig
from recycle_pipeline.pipeline.data import load
from recycle_pipeline.pipeline.search.batches import TrainingImages
from recycle_pipeline.pipeline.search.captured import CapturedSteps
from recycle_pipeline.pipeline.search.steps import StepHooks
from recycle_pipeline.pipeline.stages.search import settings_of


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images = load(args.data, data_root=Path(args.data_root) if args.data_root else None)
    asked = RunConfig(arch=args.arch, prune=args.prune, data=args.data, epochs=args.epochs, scope=args.scope)
    settings = settings_of(asked.resolve())
    network = build(
        args.arch, classes=len(images.classes), channels=images.channels, image_size=images.image_size
    )
    network.to(device)
    plain = copy.deepcopy(network)
    masked = MaskedNetwork(network, settings.recipe)
    training = TrainingImages(images, device, 0)
    steps = CapturedSteps(masked, plain, training, images, settings, compiled=False)
    flat, rows = steps.flat, []
    wanted = np.array([settings.recipe.kept(view.numel(), args.prune) for view in flat.views()])
    for epoch in range(args.epochs):
        looks: list[np.ndarray[Any, Any]] = []

        def look(step: int, looks: list[np.ndarray[Any, Any]] = looks) -> bool:
            if step % args.every == 0 and step % len(training.batch_sizes(settings.batch_size)):
                looks.append(np.array([int(torch.count_nonzero(view)) for view in flat.views()]))
            return False

        steps.train_epoch(
            epoch, settings.recipe.prune, StepHooks(look, lambda step: None, lambda *done: None)
        )
        counts = np.stack(looks)
        total = np.abs(counts.sum(1) - wanted.sum()) / wanted.sum()
        rows.append({"epoch": epoch + 1, "looks": len(looks), "mean_of_all": float(total.mean())})
        rows[-1] |= {"worst_of_all": float(total.max())}
        if args.scope == "layer":
            by_layer = np.abs(counts - wanted) / wanted
            rows[-1] |= {"mean_of_layers": float(by_layer.mean()), "worst_layer": float(by_layer.max())}
        print(json.dumps(rows[-1]), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", type=Path)
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--data-root", default="")
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--prune", type=float, default=0.9)
    parser.add_argument("--scope", default="layer")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--every", type=int, default=7, help="steps")
    args = parser.parse_args()
    rows = measure(args)
    write_record(args.record, __doc__.splitlines()[0], rows=rows)


if __name__ == "__main__":
    main()
