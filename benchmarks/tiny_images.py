#!/usr/bin/env python3
"""What torch's convolutions of a ResNet-18 on 8-pixel images take on a CPU, and those that are products.

    python benchmarks/tiny_images.py --record benchmarks/records/NAME.json

Forward and backward of single layers, batch 64, by the clock: medians and least of repeats in turns.
"""

import argparse
import contextlib
import statistics
import time
from pathlib import Path

import torch
from common.record import write_record
from torch import nn

from recycle_pipeline.pipeline.search.tiny_images import tiny_images

# Channels in and out, side of the image, stride, and how many there are.
LAYERS = [(64, 64, 8, 1, 4), (64, 128, 8, 2, 1), (128, 128, 4, 1, 3), (128, 256, 4, 2, 1)]
LAYERS += [(256, 256, 2, 1, 3), (256, 512, 2, 2, 1), (512, 512, 1, 1, 3)]
BATCH = 64


def seconds(layer: nn.Conv2d, images: torch.Tensor, *, product: bool) -> float:
    """One forward and backward."""
    with tiny_images(layer) if product else contextlib.nullcontext():
        began = time.perf_counter()
        out = layer(images)
        torch.autograd.grad(out, (images, layer.weight), torch.ones_like(out))
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    torch.manual_seed(0)
    rows = []
    for inputs, outputs, side, stride, count in LAYERS:
        images = torch.randn(BATCH, inputs, side, side, requires_grad=True)
        layer = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        row = {"inputs": inputs, "outputs": outputs, "side": side, "stride": stride, "layers": count}
        found: dict[bool, list[float]] = {False: [], True: []}
        for repeat in range(args.repeats + 3):
            for product in found:
                taken = 1000 * seconds(layer, images, product=product)
                if repeat >= 3:
                    found[product].append(taken)
        for product, name in ((False, "as torch has it"), (True, "as in a search")):
            row[name] = {
                "median_ms": round(statistics.median(found[product]), 2),
                "least_ms": round(min(found[product]), 2),
            }
        rows.append(row)
        print(row, flush=True)
    write_record(args.record, __doc__.splitlines()[0], batch=BATCH, repeats=args.repeats, rows=rows)


if __name__ == "__main__":
    main()
