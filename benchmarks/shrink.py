#!/usr/bin/env python3
"""What exact shrinking removes from a ticket's model, and what that buys on the CPU.

    python benchmarks/shrink.py --data-root ~/data --record benchmarks/records/NAME.json TICKET ...

For each ticket the whole model and the shrunk one: parameters, multiply-adds, filters, bytes; the largest
difference of a logit, the images with another top-1 class and both accuracies over the test split under ONNX
Runtime; latencies in interleaved rounds by batch size, on `--threads` threads, of the whole model, the
shrunk one and the shrunk one with nothing pruned; with --any-count also of the shrunk one without the
channels that stay to make numbers of channels multiples of 4.
"""

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common.record import write_record

from recycle_pipeline.evaluators.latency import measure, ratio_of_medians
from recycle_pipeline.evaluators.session import OnnxModel, open_session
from recycle_pipeline.exporters.onnx.dense import InputSpec, to_onnx, write_model
from recycle_pipeline.exporters.onnx.shrink import shrink
from recycle_pipeline.exporters.onnx.twin import write_dense_twin
from recycle_pipeline.pipeline.data import load
from recycle_pipeline.pipeline.data.prepared import normalised
from recycle_pipeline.pipeline.dense_model import fold_without_images
from recycle_pipeline.pipeline.rebuild import rebuild

BATCHES = (1, 16)
SPLIT = 250  # images per call over the test split


def timed(models: dict[str, OnnxModel], images: Any, seconds: float) -> dict[str, Any]:
    """Median milliseconds and their ratio to the whole model's."""
    samples = measure(
        {name: lambda model=model: model.predict(images) for name, model in models.items()},
        seconds=seconds,
        min_rounds=64,
        seed=0,
    )
    found: dict[str, Any] = {"rounds": samples["whole"].n}
    for name, each in samples.items():
        ratio = ratio_of_medians(each, samples["whole"], 0)
        found[name] = {"ms": round(each.median, 4), "spread": round(each.spread, 3)}
        found[name] |= {key: round(getattr(ratio, key), 4) for key in ("ratio", "low", "high")}
    return found


def compared(
    whole: OnnxModel, shrunk: OnnxModel, pixels: Any, labels: Any, spec: InputSpec
) -> dict[str, Any]:
    """Both models over a test split."""
    logits = []
    for model in (whole, shrunk):
        parts = [pixels[start : start + SPLIT] for start in range(0, len(pixels), SPLIT)]
        logits.append(np.concatenate([model.predict(normalised(p, spec.mean, spec.std)) for p in parts]))
    classes = [each.argmax(1) for each in logits]
    return {
        "images": len(pixels),
        "largest_logit": float(np.abs(logits[0]).max()),
        "max_difference": float(np.abs(logits[0] - logits[1]).max()),
        "other_top1": int((classes[0] != classes[1]).sum()),
        "accuracy": [float((each == labels).mean()) for each in classes],
    }


def row_of(ticket: Path, args: argparse.Namespace) -> dict[str, Any]:
    rebuilt = rebuild(ticket)
    subnetwork = rebuilt.subnetwork
    spec = InputSpec(subnetwork.channels, subnetwork.image_size, subnetwork.mean, subnetwork.std, False)
    model = to_onnx(fold_without_images(rebuilt).network, spec)
    merge = subnetwork.kind != "binary"  # as `export` does
    found = shrink(model, merge)
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{name}.onnx" for name in ("whole", "shrunk", "same_shapes")}
        write_model(model, {}, paths["whole"])
        write_model(found.model, {}, paths["shrunk"])
        write_dense_twin(paths["shrunk"], paths["same_shapes"])
        if args.any_count:
            paths["any_count"] = Path(folder) / "any-count.onnx"
            write_model(shrink(model, merge, block=1).model, {}, paths["any_count"])
        opened = {name: open_session(path, "cpu", args.threads) for name, path in paths.items()}
        images = load(args.data, data_root=args.data_root)
        pixels, labels = images.test_images[: args.images], images.test_labels[: args.images]
        row: dict[str, Any] = {"ticket": ticket.name, "arch": subnetwork.arch, "prune": subnetwork.prune}
        row |= {"scope": subnetwork.scope, "batch_norm": subnetwork.options.batch_norm}
        row |= {"before": dataclasses.asdict(found.before), "after": dataclasses.asdict(found.after)}
        row["bytes"] = [paths[name].stat().st_size for name in ("whole", "shrunk")]
        row |= compared(opened["whole"], opened["shrunk"], pixels, labels, spec)
        row["latency"] = {}
        for batch in BATCHES:
            some = normalised(np.asarray(pixels[:batch]), spec.mean, spec.std)
            row["latency"][f"batch {batch}"] = timed(opened, some, args.seconds)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tickets", nargs="+", type=Path)
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--images", type=int, default=10_000, help="of the test split [10000]")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0, help="of timing, per batch size [10]")
    parser.add_argument("--any-count", action="store_true", help="time numbers of channels as they come, too")
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    rows = []
    for ticket in args.tickets:
        rows.append(row_of(ticket, args))
        print(json.dumps(rows[-1], indent=1), flush=True)
    write_record(args.record, __doc__.splitlines()[0], threads=args.threads, rows=rows)


if __name__ == "__main__":
    main()
