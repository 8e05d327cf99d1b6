#!/usr/bin/env python3
r"""`onnx-kernel` of tickets beside `onnx` and `onnx-int8` of the same network: latency, memory, layers.

    PYTHONPATH=.dev python benchmarks/kernels.py --data-root DIR --record FILE TICKET ...

The forms are made as `export` makes them, filters that the mask made dead removed from all three; and `onnx`
and `onnx-int8` a second time with `--no-shrink` (`whole`), whose shapes are the architecture's own. In each
round all are opened anew, for where a session's memory lies decides a part of its speed, and every form has
its turn, in random order: two calls that warm the caches, for the others' weights have
driven its own out, then `--calls` whose median counts. A round gives ratios; medians and quartiles are over
rounds. Times are of the clock and, beside them, of the processor (`cpu`), which says more where cores are
shared. One thread, but for `threads`. `calls_that_follow_others` are first calls of turns: where other models
ran in between. Where OpenVINO can be imported, it runs `onnx-int8` too (`openvino`), its shapes fixed, under
its own settings for latency.

`threads` has `onnx-kernel` and `onnx-int8` with one thread and with `--threads`, each in its turn: ratios of
rounds, and of the least times of all rounds, which say more where cores are shared. Logits must be the same.
There idle threads are put to sleep after each call, as `verify` and `bench` have it; `spinning` leaves
onnxruntime's default, by which they wait for the next call awake.

Memory is what opening and one call add to the peak of a fresh process. Accuracy is of the test split's first
`--images`, and `equal_to_the_bit` of all logits. `layers` has the least of `--repeats` times of each step,
and additions per cycle at `--clock`, in GHz: kept weights times pixels of the result.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from common.openvino_model import in_openvino
from common.record import write_record
from onnx_forms import made_of

from recycle_pipeline.evaluators.accuracy import accuracy, predict_all
from recycle_pipeline.evaluators.session import open_session
from recycle_pipeline.evaluators.setting import Setting
from recycle_pipeline.evaluators.workers import Worker
from recycle_pipeline.exporters.kernel.library import Kernels
from recycle_pipeline.exporters.kernel.network import first_part
from recycle_pipeline.exporters.kernel.packed import Conv
from recycle_pipeline.exporters.kernel.place import TERNARY
from recycle_pipeline.exporters.onnx.forms import Dense, write_form
from recycle_pipeline.pipeline.data import load
from recycle_pipeline.pipeline.data.prepared import normalised
from recycle_pipeline.pipeline.forms import FORMS
from recycle_pipeline.pipeline.rebuild import rebuild

NAMES = ("onnx", "onnx-int8", "onnx-kernel")
WHOLE = "whole "
WARMING, SPLIT = 2, 256
Calls = dict[str, Callable[[], Any]]
Turn = tuple[float, float, float]
SPINNING = {"session.force_spinning_stop": "0"}


def turn(call: Callable[[], Any], calls: int) -> Turn:
    """Milliseconds of the median call, of the processor's, and of the first."""
    times, used = [], []
    for _ in range(WARMING + calls):
        started, busy = time.perf_counter(), time.process_time()
        call()
        used.append(time.process_time() - busy)
        times.append(time.perf_counter() - started)
    return (
        1e3 * float(np.median(times[WARMING:])),
        1e3 * float(np.mean(used[WARMING:])),
        1e3 * times[0],
    )


def latency(paths: dict[str, Path], images: Any, args: argparse.Namespace) -> dict[str, Any]:
    """Of one batch: milliseconds, and ratios of the others to `onnx-kernel`, round by round."""
    found: dict[str, Any] = {"rounds": args.rounds, "calls": args.calls}

    def opened() -> Calls:
        calls = {name: predicting(path, images, 1) for name, path in shuffled(paths.items())}
        if predict := in_openvino(paths["onnx-int8"], images.shape, 1):
            calls["openvino"] = lambda: predict(images)
        return calls

    calls = opened()
    if "openvino" in calls:
        found["openvino_top1_as_onnx-int8"] = same_top1(calls["openvino"](), calls["onnx-int8"]())
    rounds = in_turns(opened, args)
    for which, key in enumerate(("ms", "cpu_ms", "calls_that_follow_others_ms")):
        found[key] = {name: float(np.median([each[name][which] for each in rounds])) for name in calls}
    for which, key in enumerate(("ratio", "cpu_ratio", "ratio_of_calls_that_follow_others")):
        for name in calls.keys() - {"onnx-kernel"}:
            found[f"{key} {name}"] = spread_of(
                [each[name][which] / each["onnx-kernel"][which] for each in rounds]
            )
    return found


def predicting(
    path: Path, images: Any, threads: int, entries: dict[str, str] | None = None
) -> Callable[[], Any]:
    """A call of a new session."""
    model = open_session(path, "cpu", threads, entries)
    return lambda: model.predict(images)


def shuffled(items: Iterable[Any]) -> list[Any]:
    listed = list(items)
    return random.sample(listed, len(listed))


def in_turns(opened: Callable[[], Calls], args: argparse.Namespace) -> list[dict[str, Turn]]:
    """What `turn` says of each call, round by round; each round has new sessions."""
    return [
        {name: turn(call, args.calls) for name, call in shuffled(opened().items())}
        for _ in range(args.rounds)
    ]


def spread_of(ratios: list[float]) -> dict[str, Any]:
    low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
    return {"median": middle, "quartiles": [low, high]}


def same_top1(logits: Any, expected: Any) -> float:
    return float((logits.argmax(1) == expected.argmax(1)).mean())


def scaling(
    paths: dict[str, Path], images: Any, args: argparse.Namespace, entries: dict[str, str]
) -> dict[str, Any]:
    """How many times as fast `--threads` threads are as one, under further entries of a session."""
    found: dict[str, Any] = {"threads": args.threads}
    for name in NAMES[1:]:

        def opened(path: Path = paths[name]) -> Calls:
            both = shuffled((("one", 1), ("many", args.threads)))
            return {key: predicting(path, images, threads, entries) for key, threads in both}

        calls = opened()
        assert np.array_equal(calls["one"](), calls["many"]())
        rounds = in_turns(opened, args)
        least = {key: min(each[key][0] for each in rounds) for key in calls}
        ratio = spread_of([each["one"][0] / each["many"][0] for each in rounds])
        found[name] = {"least_ms": least, "ratio": ratio, "ratio_of_least": least["one"] / least["many"]}
    return found


def memory(paths: dict[str, Path]) -> dict[str, Any]:
    """Bytes that opening and a call of batch 1 add to a fresh process's peak: the median of three."""
    found = {}
    for name, path in paths.items():
        grown = []
        for _ in range(3):
            with Worker() as worker:
                grown.append(worker.open(path, Setting()).memory)
        found[name] = int(np.median(grown))
    return found | {"of_onnx": found["onnx-kernel"] / found["onnx"]}


def judged(paths: dict[str, Path], pixels: Any, labels: Any) -> dict[str, Any]:
    logits = {
        name: predict_all(open_session(path, "cpu", 1).predict, pixels, SPLIT) for name, path in paths.items()
    }
    return {
        "images": len(labels),
        "top1": {name: accuracy(each, labels).top1 for name, each in logits.items()},
        "equal_to_the_bit": bool(np.array_equal(logits["onnx-kernel"], logits["onnx-int8"])),
    }


def layers(paths: dict[str, Path], args: argparse.Namespace) -> list[dict[str, Any]]:
    """Each step by itself, the caches as the steps before left them."""
    shape = [
        axis.dim_value for axis in onnx.load(paths["onnx-int8"]).graph.input[0].type.tensor_type.shape.dim
    ]
    part = first_part(onnx.load(paths["onnx-int8"]), (shape[1], shape[2], shape[3]))
    assert part is not None
    [node] = [each for each in onnx.load(paths["onnx-kernel"]).graph.node if each.op_type == TERNARY]
    rows = []
    with Kernels(node.attribute[0].s) as kernels:
        image = np.random.default_rng(0).integers(0, 256, (1, *kernels.source), np.uint8)
        seconds = np.min([kernels.times(image) for _ in range(args.repeats)], axis=0)
    for step, took in zip(part.steps, seconds, strict=True):
        source, target = part.images[step.source], part.images[step.target]
        row = {
            "shape": f"{source.channels} x {source.height} x {source.width} to {target.channels}",
            "us": 1e6 * took,
        }
        if isinstance(step, Conv):
            weights = int(np.count_nonzero(step.signs))
            additions = weights * target.height * target.width
            row |= {"window": step.window.size, "strides": step.window.strides, "weights": weights}
            row |= {"density": weights / step.signs.size, "additions": additions}
            row |= {"additions_per_cycle": additions / (took * args.clock * 1e9)}
        rows.append(row)
    return rows


def written(source: Dense, names: Iterable[str], folder: Path, prefix: str) -> dict[str, Path]:
    """The files of these forms, by their names with the prefix."""
    paths = {prefix + name: folder / f"{prefix.strip()}{FORMS[name].file}" for name in names}
    for name, path in paths.items():
        write_form(name.removeprefix(prefix), source, path)
    return paths


def measured(ticket: Path, images: Any, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    rebuilt = rebuild(ticket)
    subnetwork = rebuilt.subnetwork
    paths = written(made_of(rebuilt, ticket, images, shrink=True), NAMES, folder, "")
    whole = written(made_of(rebuild(ticket), ticket, images, shrink=False), NAMES[:2], folder, WHOLE)
    count = args.images or len(images.test_labels)
    pixels = normalised(np.asarray(images.test_images[:count]), subnetwork.mean, subnetwork.std)
    row: dict[str, Any] = {"ticket": ticket.name, "kept": subnetwork.kept, "of": subnetwork.size}
    row["bytes"] = {name: path.stat().st_size for name, path in (paths | whole).items()}
    row["accuracy"] = judged(paths, pixels, images.test_labels[:count])
    row["memory"] = memory(paths)
    row["layers"] = layers(paths, args)
    for batch in args.batch_sizes:
        some = np.ascontiguousarray(pixels[:batch])
        row[f"batch {batch}"] = latency(paths | whole, some, args)
        if args.threads > 1:
            row[f"batch {batch}"]["threads"] = scaling(paths, some, args, {})
            row[f"batch {batch}"]["spinning"] = scaling(paths, some, args, SPINNING)
    print(json.dumps({key: value for key, value in row.items() if key != "layers"}), flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tickets", nargs="+", type=Path)
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--threads", type=int, default=1, help="beside one; 1 leaves them out [1]")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--calls", type=int, default=9, help="whose median counts, of each turn [9]")
    parser.add_argument("--images", type=int, help="the first of the test split, for a trial")
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--clock", type=float, default=4.0, help="GHz that the cores run at [4.0]")
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    images = load(args.data, data_root=args.data_root)
    rows = []
    for ticket in args.tickets:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measured(ticket, images, args, Path(folder)))
        write_record(args.record, __doc__.splitlines()[0], threads=1, clock_ghz=args.clock, rows=rows)


if __name__ == "__main__":
    main()
