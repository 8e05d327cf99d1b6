#!/usr/bin/env python3
"""Accuracy of tickets with the batch norm statistics that their search kept, and with ones estimated afresh.

    python benchmarks/batch_statistics.py --data cifar10 --data-root DIR --record FILE TICKET ...

A search keeps running averages, in which the last ten batches or so have most weight. Afresh means: the mean
over `--images` images of the training split, in batches of `--batch-size`, by the network as it was found; as
they are, or with `--augment` moved by up to four pixels and mirrored at random, as a search sees them. In
float32 with torch, on the CPU or on `--device`.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common.record import write_record
from torch import nn

from recycle_pipeline.pipeline.data import load
from recycle_pipeline.pipeline.data.prepared import normalised
from recycle_pipeline.pipeline.rebuild import rebuild


def accuracy(network: nn.Module, pixels: torch.Tensor, labels: torch.Tensor) -> float:
    network.eval()
    with torch.inference_mode():
        right = [
            (network(x).argmax(1) == y).sum()
            for x, y in zip(pixels.split(250), labels.split(250), strict=True)
        ]
    return float(sum(right)) / len(labels)


def estimate(network: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Statistics of each batch norm as the mean over these batches."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the mean over all batches
            module.train()
    with torch.no_grad():
        for batch in batches:
            network(batch)


def augmented(pixels: torch.Tensor) -> torch.Tensor:
    """Each image moved by up to four pixels, zeros coming in, and mirrored or not."""
    rng, side = np.random.default_rng(0), pixels.shape[-1]
    padded = nn.functional.pad(pixels, (4, 4, 4, 4))
    found = []
    for image, (y, x), mirrored in zip(
        padded, rng.integers(0, 9, (len(pixels), 2)), rng.random(len(pixels)) < 0.5, strict=True
    ):
        part = image[:, y : y + side, x : x + side]
        found.append(part.flip(2) if mirrored else part)
    return torch.stack(found)


def measured(ticket: Path, images: Any, args: argparse.Namespace) -> dict[str, Any]:
    rebuilt = rebuild(ticket)
    mean, std = rebuilt.subnetwork.mean, rebuilt.subnetwork.std

    def prepared(some: Any) -> torch.Tensor:
        return torch.from_numpy(normalised(np.asarray(some), mean, std))

    rebuilt.network.to(args.device)
    pixels, labels = prepared(images.test_images), torch.from_numpy(images.test_labels)
    pixels, labels = pixels.to(args.device), labels.to(args.device)
    kept = accuracy(rebuilt.network, pixels, labels)
    chosen = np.linspace(0, len(images.train_images) - 1, args.images).astype(int)
    seen = prepared(np.asarray(images.train_images)[chosen])
    seen = (augmented(seen) if args.augment else seen).to(args.device)
    estimate(rebuilt.network, seen.split(args.batch_size))
    row = {"ticket": ticket.name, "test_images": len(labels), "kept": kept}
    return row | {"afresh": accuracy(rebuilt.network, pixels, labels)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tickets", nargs="+", type=Path)
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--images", type=int, default=2560)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--augment", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    images, rows = load(args.data, data_root=args.data_root), []
    for ticket in args.tickets:
        rows.append(measured(ticket, images, args))
        print(rows[-1], flush=True)
        write_record(
            args.record,
            __doc__.splitlines()[0],
            images=args.images,
            batch_size=args.batch_size,
            augment=args.augment,
            device=args.device,
            rows=rows,
        )


if __name__ == "__main__":
    main()
