#!/usr/bin/env python3
r"""`onnx-kernel` of ResNets at 224 px beside `onnx` and `onnx-int8`: latency, memory, layers.

    PYTHONPATH=.dev python benchmarks/kernels_large.py --threads 2 --record FILE

There are no trained tickets of this size. Masks are drawn at random, as many weights removed of every layer,
signs too; statistics of batch norm and ranges of activations are those of noise. So nothing is said about
accuracy: what is measured is how long networks of these shapes and densities take. Turns, rounds, threads
and layers are those of `kernels.py`; `equal_to_the_bit` is of all logits of two images.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import kernels
import numpy as np
import torch
from common.record import write_record
from torch import nn

from recycle_pipeline.evaluators.session import open_session
from recycle_pipeline.exporters.onnx.dense import InputSpec, stamp, to_onnx
from recycle_pipeline.exporters.onnx.forms import Dense, write_form
from recycle_pipeline.models.fold import fold_batch_norm
from recycle_pipeline.models.registry import build
from recycle_pipeline.pipeline.forms import FORMS

SIDE, CLASSES = 224, 1000


def drawn(arch: str, prune: float, images: torch.Tensor) -> nn.Module:
    """Signs times one magnitude a layer, as many of each kept at random; batch norm as it sees `images`."""
    torch.manual_seed(0)
    network = build(arch, classes=CLASSES, channels=3, image_size=SIDE)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                keep = torch.zeros(module.weight.numel())
                keep[torch.randperm(len(keep))[: round(len(keep) * (1 - prune))]] = 1
                gain = (2 / max(1.0, float(keep.sum()) / len(module.weight))) ** 0.5
                signs = torch.randint(0, 2, keep.shape) * 2.0 - 1
                module.weight.copy_((keep * signs * gain).reshape(module.weight.shape))
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None  # the mean over batches
        network.train()(images)
    return network.eval()


def written(arch: str, prune: float, folder: Path, images: torch.Tensor) -> dict[str, Path]:
    network = drawn(arch, prune, images)
    folded = fold_batch_norm(network, [images[:2]], tolerance=1e-2)
    model = to_onnx(folded.network, InputSpec(3, SIDE, (0.5,) * 3, (0.25,) * 3, False))
    stamp(model, {"arch": arch})
    source = Dense(model, {}, lambda: [images.numpy()])
    paths = {name: folder / FORMS[name].file for name in kernels.NAMES}
    for name, path in paths.items():
        write_form(name, source, path)
    return paths


def measured(arch: str, prune: float, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    images = torch.randn(8, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    paths = written(arch, prune, folder, images)
    pixels = images.numpy()
    row: dict[str, Any] = {"arch": arch, "prune": prune, "masks": "random, as many of every layer"}
    row["bytes"] = {name: path.stat().st_size for name, path in paths.items()}
    logits = {name: open_session(path, "cpu", 1).predict(pixels[:2]) for name, path in paths.items()}
    row["equal_to_the_bit"] = bool(np.array_equal(logits["onnx-kernel"], logits["onnx-int8"]))
    row["layers"] = kernels.layers(paths, args)
    row["memory"] = kernels.memory(paths)
    for batch in args.batch_sizes:
        some = np.ascontiguousarray(pixels[:batch])
        row[f"batch {batch}"] = kernels.latency(paths, some, args)
        if args.threads > 1:
            row[f"batch {batch}"]["threads"] = kernels.scaling(paths, some, args, {})
    print(json.dumps({key: value for key, value in row.items() if key != "layers"}), flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--archs", nargs="+", default=["resnet18", "resnet50"])
    parser.add_argument("--prunes", type=float, nargs="+", default=[0.9, 0.95])
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1])
    parser.add_argument("--threads", type=int, default=1, help="beside one; 1 leaves them out [1]")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--calls", type=int, default=3, help="whose median counts, of each turn [3]")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--clock", type=float, default=4.0, help="GHz that the cores run at [4.0]")
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    rows = []
    for arch in args.archs:
        for prune in args.prunes:
            with tempfile.TemporaryDirectory() as folder:
                rows.append(measured(arch, prune, args, Path(folder)))
            write_record(args.record, __doc__.splitlines()[0], threads=1, clock_ghz=args.clock, rows=rows)


if __name__ == "__main__":
    main()
