#!/usr/bin/env python3
"""Every form of a ticket's ONNX model: file, load, memory, latency and accuracy under ONNX Runtime.

    python benchmarks/onnx_forms.py --data-root DIR --record benchmarks/records/NAME.json TICKET ...
    python benchmarks/onnx_forms.py --provider cuda --batch-sizes 1 256 --data-root DIR --record ... TICKET

Forms are made as `export --export all` makes them, in a scratch folder. Load is the time to open a session:
the first of a fresh process, which is what a deployment sees, and another in a process that has opened one.
Files are in the page cache. Memory is the fresh process's peak. In each round every form has its turn, in
random order, so that what else the machine does falls on all alike. Latency is measured beside `onnx` in the
same way. Accuracy is of the whole test split, or of `--images`.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from common.record import write_record

from recycle_pipeline.evaluators.accuracy import accuracy, predict_all
from recycle_pipeline.evaluators.latency import measure, ratio_of_medians
from recycle_pipeline.evaluators.session import open_session
from recycle_pipeline.exporters.onnx.forms import Dense, write_form
from recycle_pipeline.models.errors import RecycleError
from recycle_pipeline.pipeline.data import load
from recycle_pipeline.pipeline.data.image_set import ImageSet
from recycle_pipeline.pipeline.data.prepared import normalised
from recycle_pipeline.pipeline.dense_model import dense, fold_without_images
from recycle_pipeline.pipeline.forms import FORMS
from recycle_pipeline.pipeline.rebuild import rebuild

CALIBRATION_IMAGES, CALIBRATION_BATCH = 512, 64
FRESH = """
import json, re, sys, time
import numpy as np
import onnxruntime
if sys.argv[2] != "CPUExecutionProvider":
    import torch
    onnxruntime.preload_dlls()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads, options.log_severity_level = int(sys.argv[3]), 3
def peak():
    return int(re.search("VmHWM:\\\\s+([0-9]+)", open("/proc/self/status").read())[1])
before = peak()
seconds = []
for _ in range(2):
    started = time.perf_counter()
    session = onnxruntime.InferenceSession(sys.argv[1], options, providers=[sys.argv[2]])
    seconds.append(time.perf_counter() - started)
    after = after if len(seconds) == 2 else peak()
found = {"first": seconds[0], "again": seconds[1]}
print(json.dumps(found | {"before_mb": before / 1024, "peak_mb": after / 1024}))
"""


def opened_afresh(path: Path, provider: str, threads: int) -> dict[str, float]:
    """Seconds and megabytes of two sessions in a process of their own."""
    command = [sys.executable, "-c", FRESH, str(path), provider, str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    row: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return row


def loads(paths: dict[str, Path], provider: str, threads: int, repeats: int) -> dict[str, dict[str, float]]:
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in paths}
    for _ in range(repeats):
        for name in random.sample(list(paths), len(paths)):
            rows[name].append(opened_afresh(paths[name], provider, threads))
    return {
        name: {key: statistics.median(row[key] for row in each) for key in each[0]}
        | {"first_low": min(row["first"] for row in each), "first_high": max(row["first"] for row in each)}
        for name, each in rows.items()
    }


def made_of(ticket: Path, images: ImageSet) -> Dense:
    rebuilt = rebuild(ticket)
    subnetwork = rebuilt.subnetwork

    def batches() -> Any:
        chosen = np.linspace(0, len(images.train_images) - 1, CALIBRATION_IMAGES).astype(int)
        for part in np.array_split(chosen, CALIBRATION_IMAGES // CALIBRATION_BATCH):
            yield normalised(np.asarray(images.train_images)[part], subnetwork.mean, subnetwork.std)

    some = np.asarray(images.test_images[:512])
    return dense(fold_without_images(rebuilt), subnetwork, ticket, batches, shrink_on=some)[0]


def measured(ticket: Path, images: ImageSet, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    source = made_of(ticket, images)
    paths: dict[str, Path] = {}
    rows: dict[str, dict[str, Any]] = {}
    for name, form in FORMS.items():
        path, started = folder / form.file, time.perf_counter()
        try:
            write_form(name, source, path)
        except RecycleError as error:
            rows[name] = {"missing": str(error)}
            continue
        paths[name] = path
        rows[name] = {"bytes": path.stat().st_size, "export_seconds": time.perf_counter() - started}
    count = args.images or len(images.test_labels)
    pixels = normalised(np.asarray(images.test_images[:count]), images.mean, images.std)
    expected = predict_all(open_session(paths["onnx"], args.provider).predict, pixels, 256)
    for name, path in paths.items():
        logits = predict_all(open_session(path, args.provider).predict, pixels, 256)
        rows[name] |= {"max_difference": float(np.abs(logits - expected).max()), "images": count}
        rows[name] |= {"equal_to_the_bit": bool(np.array_equal(logits, expected))}
        rows[name] |= {"top1": accuracy(logits, images.test_labels[:count]).top1}
        rows[name] |= {"top1_agreement": float((logits.argmax(1) == expected.argmax(1)).mean())}
    provider = open_session(paths["onnx"], args.provider).provider
    for name, row in loads(paths, provider, args.threads, args.loads).items():
        rows[name]["load"] = row
    for batch in args.batch_sizes:
        some = np.ascontiguousarray(pixels[:batch])
        for name, path in paths.items():
            pair = {"form": path, "dense": paths["onnx"]}
            sessions = {key: open_session(each, args.provider, args.threads) for key, each in pair.items()}
            timed = {key: partial(session.predict, some) for key, session in sessions.items()}
            samples = measure(timed, seconds=args.seconds, min_rounds=64, seed=0)
            ratio = ratio_of_medians(samples["form"], samples["dense"], 0)
            rows[name][f"batch_{batch}"] = {
                "ms": samples["form"].median,
                "dense_ms": samples["dense"].median,
                "ratio": ratio.ratio,
                "low": ratio.low,
                "high": ratio.high,
                "rounds": samples["form"].n,
            }
    for name, row in rows.items():
        print(json.dumps({"form": name, **row}))
    return {"ticket": ticket.name, "provider": provider, "threads": args.threads, "forms": rows}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tickets", nargs="+", type=Path)
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--provider", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1])
    parser.add_argument("--images", type=int, help="the first of the test split, for a trial")
    parser.add_argument("--loads", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    images = load(args.data, data_root=args.data_root)
    rows = []
    for ticket in args.tickets:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measured(ticket, images, args, Path(folder)))
    write_record(args.record, __doc__.splitlines()[0], rows=rows)


if __name__ == "__main__":
    main()
