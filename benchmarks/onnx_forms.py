#!/usr/bin/env python3
r"""Every form of a ticket's ONNX model: file, load, memory, latency and accuracy under ONNX Runtime.

    python benchmarks/onnx_forms.py --data-root DIR --batch-sizes 1 16 256 --threads 1 0 --record FILE TICKET
    python benchmarks/onnx_forms.py --data-root DIR --batch-sizes 1 16 256 --provider cuda --loads 3 \
        --seconds 2 --record FILE TICKET

Forms are made as `export --export all` makes them, in a scratch folder. Logits are compared with those of
`onnx` under the same provider, and those of `onnx` with torch's on the CPU; accuracy is of the whole test
split, or of `--images`. A form that the provider cannot run is recorded as refused, with the reason.

Load is the time to open a session: the first of a fresh process, which is what a deployment sees, and
another in a process that has opened one; `added_mb` is what the first adds to the process's peak memory.
Files are in the page cache. In each round every form has its turn, in random order, so that what else the
machine does falls on all alike. Latency is measured beside `onnx` in the same way, in pairs.

Under CUDA `onnx` is timed as `verify` opens it, without TF32, and once more with it, which is onnxruntime's
default; float16 also with the provider's prefer_nhwc. `bound` has images and logits on the GPU (IO binding);
`copied` includes the copies there and back.

`--entry KEY=VALUE` is told to every session but `onnx`'s, as of a runtime that does not fold constants
(optimization.constant_folding_max_output_size_in_bytes=1) or takes 2-bit weights as they are meant
(session.disable_quant_qdq=1); on the CPU alone, and not to the loads.
"""

import argparse
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common.cuda_sessions import bound
from common.fresh_sessions import fresh_sessions
from common.record import write_record

from recycle_pipeline.evaluators.accuracy import accuracy, predict_all
from recycle_pipeline.evaluators.latency import measure, ratio_of_medians
from recycle_pipeline.evaluators.machine import usable_cores
from recycle_pipeline.evaluators.provider_names import PROVIDERS
from recycle_pipeline.evaluators.providers import ORT_ERRORS, brief
from recycle_pipeline.evaluators.session import open_session
from recycle_pipeline.exporters.onnx.forms import Dense, write_form
from recycle_pipeline.models.errors import RecycleError
from recycle_pipeline.pipeline.data import load
from recycle_pipeline.pipeline.data.image_set import ImageSet
from recycle_pipeline.pipeline.data.prepared import normalised
from recycle_pipeline.pipeline.dense_model import dense, fold_without_images
from recycle_pipeline.pipeline.forms import DENSE, FORMS, wanted_forms
from recycle_pipeline.pipeline.rebuild import Rebuilt, rebuild

CALIBRATION_IMAGES, CALIBRATION_BATCH, SPLIT = 512, 64, 256
PLAIN, TF32, NHWC = {"use_tf32": "0"}, {"use_tf32": "1"}, {"use_tf32": "0", "prefer_nhwc": "1"}
Rows = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Arm:
    """A form with options of the CUDA provider, and what it is timed beside."""

    name: str
    form: str
    options: dict[str, str]
    base: str = DENSE
    base_options: tuple[tuple[str, str], ...] = tuple(PLAIN.items())


CUDA_ARMS = (
    *(Arm(name, name, PLAIN) for name in FORMS),
    Arm("onnx, TF32", DENSE, TF32),
    Arm("onnx-fp16, NHWC", "onnx-fp16", NHWC),
    Arm("onnx-fp16 beside onnx with TF32", "onnx-fp16", PLAIN, base_options=tuple(TF32.items())),
    Arm("onnx-fp16, NHWC, beside onnx with TF32", "onnx-fp16", NHWC, base_options=tuple(TF32.items())),
)


def made_of(rebuilt: Rebuilt, ticket: Path, images: ImageSet, *, shrink: bool) -> Dense:
    subnetwork = rebuilt.subnetwork

    def batches() -> Any:
        chosen = np.linspace(0, len(images.train_images) - 1, CALIBRATION_IMAGES).astype(int)
        for part in np.array_split(chosen, CALIBRATION_IMAGES // CALIBRATION_BATCH):
            yield normalised(np.asarray(images.train_images)[part], subnetwork.mean, subnetwork.std)

    some = np.asarray(images.test_images[:512]) if shrink else None
    return dense(fold_without_images(rebuilt), subnetwork, ticket, batches, shrink_on=some)[0]


def written(source: Dense, names: list[str], folder: Path) -> tuple[dict[str, Path], Rows]:
    """The files of those forms that the network has, and rows of all."""
    paths, rows = {}, Rows()
    for name in names:
        path, started = folder / FORMS[name].file, time.perf_counter()
        try:
            write_form(name, source, path)
        except RecycleError as error:
            rows[name] = {"missing": str(error)}
            continue
        paths[name] = path
        rows[name] = {"bytes": path.stat().st_size, "export_seconds": time.perf_counter() - started}
    return paths, rows


def told(text: str) -> tuple[str, str]:
    """A key of ONNX Runtime's configuration of a session, and its value."""
    key, sign, value = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"{text!r}: expected KEY=VALUE")
    return key, value


def judged(
    path: Path, provider: str, pixels: Any, expected: Any, labels: Any, entries: dict[str, str]
) -> dict[str, Any]:
    """Logits and accuracy of a form beside those of `onnx`, or None; or why it cannot run."""
    try:
        logits = predict_all(open_session(path, provider, None, entries).predict, pixels, SPLIT)
    except RecycleError as error:
        return {"refused": str(error)}
    expected = logits if expected is None else expected
    return {
        "images": len(pixels),
        "max_difference": float(np.abs(logits - expected).max()),
        "equal_to_the_bit": bool(np.array_equal(logits, expected)),
        "top1": accuracy(logits, labels).top1,
        "top1_agreement": float((logits.argmax(1) == expected.argmax(1)).mean()),
        "logits": logits,
    }


def torch_logits(rebuilt: Rebuilt, pixels: Any) -> Any:
    with torch.inference_mode():
        parts = torch.from_numpy(pixels).split(SPLIT)
        return np.concatenate([rebuilt.network(part).numpy() for part in parts])


def timed(pair: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    samples = measure(pair, seconds=args.seconds, min_rounds=args.rounds, seed=0)
    found = asdict(ratio_of_medians(samples["form"], samples["base"], 0))
    return {"ms": samples["form"].median, "base_ms": samples["base"].median} | found


def on_cpu(paths: dict[str, Path], pixels: Any, args: argparse.Namespace) -> Rows:
    rows: Rows = {name: {} for name in paths}
    for batch in args.batch_sizes:
        some = np.ascontiguousarray(pixels[:batch])
        for threads in args.threads:
            for name, path in paths.items():
                pair = {"form": path, "base": paths[DENSE]}
                own = {"form": args.entries if name != DENSE else {}, "base": {}}
                opened = {key: open_session(each, "cpu", threads, own[key]) for key, each in pair.items()}
                calls = {key: partial(session.predict, some) for key, session in opened.items()}
                rows[name][f"batch {batch}, threads {threads}"] = timed(calls, args)
    return rows


def on_cuda(paths: dict[str, Path], pixels: Any, args: argparse.Namespace) -> Rows:
    rows: Rows = {}
    for arm in CUDA_ARMS:
        if arm.form not in paths:
            continue
        rows[arm.name] = {"options": arm.options, "beside": [arm.base, dict(arm.base_options)]}
        try:
            rows[arm.name] |= on_cuda_as(arm, paths, pixels, args)
        except ORT_ERRORS as error:  # an option that this runtime has not: the other arms still count
            rows[arm.name]["failed"] = brief(error)
    return rows


def on_cuda_as(arm: Arm, paths: dict[str, Path], pixels: Any, args: argparse.Namespace) -> dict[str, Any]:
    row, form, base = {}, paths[arm.form], paths[arm.base]
    for batch in args.batch_sizes:
        some = np.ascontiguousarray(pixels[:batch])
        pair = {"form": bound(form, some, arm.options), "base": bound(base, some, dict(arm.base_options))}
        row[f"batch {batch}, bound"] = timed(pair, args)
        if arm.name in FORMS:
            opened = {key: open_session(each, "cuda") for key, each in (("form", form), ("base", base))}
            calls = {key: partial(session.predict, some) for key, session in opened.items()}
            row[f"batch {batch}, copied"] = timed(calls, args)
    return row


def measured(ticket: Path, images: ImageSet, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    rebuilt = rebuild(ticket)
    subnetwork = rebuilt.subnetwork
    paths, rows = written(made_of(rebuilt, ticket, images, shrink=not args.no_shrink), args.forms, folder)
    count = args.images or len(images.test_labels)
    labels = images.test_labels[:count]
    pixels = normalised(np.asarray(images.test_images[:count]), subnetwork.mean, subnetwork.std)
    expected = None
    for name, path in list(paths.items()):
        own = args.entries if name != DENSE else {}
        rows[name] |= (found := judged(path, args.provider, pixels, expected, labels, own))
        logits = rows[name].pop("logits", None)
        if "refused" in found:
            del paths[name]
        expected = logits if expected is None else expected
    reference = torch_logits(rebuilt, pixels)
    rows[DENSE]["max_difference_to_torch"] = float(np.abs(expected - reference).max())
    rows[DENSE]["torch_top1"] = accuracy(reference, labels).top1
    ort_name = PROVIDERS[args.provider].ort_name
    for name, row in fresh_sessions(paths, DENSE, ort_name, args.threads[0], args.loads).items():
        rows[name]["load"] = row
    for name, row in (on_cuda if args.provider == "cuda" else on_cpu)(paths, pixels, args).items():
        rows.setdefault(name, {})["latency"] = row
    for name, row in rows.items():
        print(json.dumps({"form": name, **row}), flush=True)
    kept = f"{subnetwork.kept}/{subnetwork.size}"
    said = {"entries": args.entries} if args.entries else {}
    return {
        **said,
        "ticket": ticket.name,
        "arch": subnetwork.arch,
        "kept": kept,
        "provider": ort_name,
        "forms": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tickets", nargs="+", type=Path)
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--provider", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="on the CPU; 0: every core [1]")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1])
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=FORMS, help="beside onnx [all]")
    parser.add_argument("--no-shrink", action="store_true", help="keep the shapes of the architecture")
    parser.add_argument("--images", type=int, help="the first of the test split, for a trial")
    parser.add_argument("--loads", type=int, default=12, help="fresh processes for each form [12]")
    parser.add_argument("--seconds", type=float, default=3.0, help="of timing, for each pair [3]")
    parser.add_argument("--rounds", type=int, default=32, help="of timing at least, for each pair [32]")
    parser.add_argument("--entry", action="append", default=[], type=told, metavar="KEY=VALUE")
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    args.entries = dict(args.entry)
    if args.entries and args.provider == "cuda":
        parser.error("--entry is for the CPU")
    args.forms = list(wanted_forms(tuple(args.forms)))
    args.threads = [threads or usable_cores() for threads in args.threads]
    images = load(args.data, data_root=args.data_root)
    rows = []
    for ticket in args.tickets:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measured(ticket, images, args, Path(folder)))
    write_record(args.record, __doc__.splitlines()[0], rows=rows)


if __name__ == "__main__":
    main()
