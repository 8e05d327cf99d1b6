#!/usr/bin/env python3
"""What torch's ONNX exporter keeps of each export of one small network, without code of ours, and with it.

    python benchmarks/export_growth.py --exports 20 --record benchmarks/records/NAME.json

After each export objects and blocks of Python, live `ShapeEnv`s, and texts of compiled graphs are counted,
after a collection; memory is RSS after glibc's malloc_trim. Growth is per export, over the second half.
"""

import argparse
import contextlib
import ctypes
import gc
import io
import logging
import os
import resource
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from common.record import write_record
from torch import nn
from torch.fx import graph_module
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from recycle_pipeline.exporters.onnx.kept_traces import forgetting


def network() -> nn.Module:
    """Of 1 x 8 x 8 images, in eval mode."""
    layers = nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 10)
    return nn.Sequential(*layers).eval()


def export(module: nn.Module) -> Any:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        batch = {0: torch.export.Dim("batch")}
        images = torch.zeros(2, 1, 8, 8)
        return torch.onnx.export(module, (images,), dynamo=True, dynamic_shapes=(batch,), verbose=False)


def state() -> dict[str, int]:
    """Of this process, now."""
    gc.collect()
    objects = gc.get_objects()
    owners = sum(type(each) is ShapeEnv for each in objects)
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "objects": len(objects),
        "blocks": sys.getallocatedblocks(),
        "shape_envs": owners,
        "sources": len(graph_module._loader.eval_cache),
        "rss_bytes": pages * resource.getpagesize(),
    }


def growth(once: Callable[[], Any], exports: int) -> dict[str, float]:
    """Per export, over the second half of so many."""
    for _ in range(exports // 2):
        once()
    before, more = state(), exports - exports // 2
    for _ in range(more):
        once()
    after = state()
    return {name: round((after[name] - before[name]) / more, 2) for name in after}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--exports", type=int, default=20)
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    module = network()
    found = {
        "torch alone": growth(lambda: export(module), args.exports),
        "forgetting": growth(lambda: forgetting(lambda: export(module)), args.exports),
    }
    print(found)
    write_record(args.record, __doc__.splitlines()[0], exports=args.exports, growth_per_export=found)


if __name__ == "__main__":
    main()
