#!/usr/bin/env python3
r"""Searches that favour whole dead filters, accuracy beside what shrinking and latency gain.

    python benchmarks/dead_filters.py --ways off power-4 inner-0.5 --record FILE.jsonl
    for seed in 0 1 2; do
        python benchmarks/dead_filters.py --data cifar10 --data-root DIR --device cuda --arch resnet18 \
            --epochs 30 --prune 0.95 --ways off inner-0.5 fixed-0.5 --seeds $seed --minutes 8 \
            --record FILE.jsonl &
    done; wait
    python benchmarks/dead_filters.py --show FILE.jsonl

Ranked over all layers, with learned batch norm. A way changes the ranks from which masks are formed, of
convolutions, at every step:

    off         nothing
    power-P     a filter's ranks times (the mean of its ranks / the mean over the layer) ** P
    inner-S     in the first convolution of each residual block, whose filters can go without a sum losing a
                channel: the share S of filters with the lowest means is ranked behind all others
    fixed-S     the same of the first filters: a thinner network, in other words

Latency is that of the shrunk model under ONNX Runtime, one thread, in pairs with the whole one. Searches run
one operation after the other, also on a GPU: captured steps form masks in another place.

Each line of the record is one finished search, written as soon as it is: what is there is not run again, and
several processes may write one record, each with seeds of its own. When the minutes are over no search is
begun. One that fails is told on stderr, the others go on, and the command ends with 1.
"""

import argparse
import dataclasses
import gc
import json
import statistics
import sys
import time
from collections.abc import Iterator
from datetime import date
from functools import partial, partialmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recycle_pipeline.evaluators.latency import measure, ratio_of_medians
from recycle_pipeline.evaluators.machine import cpu_model
from recycle_pipeline.evaluators.providers import ort as onnxruntime  # with its telemetry off
from recycle_pipeline.exporters.onnx.dense import InputSpec, stamp, to_onnx
from recycle_pipeline.exporters.onnx.shrink import shrink
from recycle_pipeline.models.fold import fold_batch_norm
from recycle_pipeline.models.masked_network import MaskedNetwork
from recycle_pipeline.models.registry import build
from recycle_pipeline.models.topk import layer_minimums, ranks, top_masks
from recycle_pipeline.pipeline.data import load
from recycle_pipeline.pipeline.data.image_set import ImageSet
from recycle_pipeline.pipeline.given import config_from
from recycle_pipeline.pipeline.search.listeners import Listeners
from recycle_pipeline.pipeline.search.loop import search
from recycle_pipeline.pipeline.search.records import EpochRecord
from recycle_pipeline.pipeline.stages.search import settings_of

BEHIND = 1e-3  # times ranks that come last


def factors(way: str, name: str, ranked: Tensor) -> Tensor:
    """(filters,) or (1,): what a layer's ranks are multiplied by."""
    kind, _, amount = way.partition("-")
    if ranked.ndim < 4 or kind == "off":
        return torch.ones(1, device=ranked.device)
    means = ranked.flatten(1).mean(1)
    if kind == "power":
        return (means / means.mean()) ** float(amount)
    found, last = torch.ones_like(means), int(float(amount) * len(means))
    if "layer" in name and name.endswith("conv1"):
        found[means.argsort()[:last] if kind == "inner" else slice(last)] = BEHIND
    return found


def masks(way: str, self: MaskedNetwork, prune: float) -> list[Tensor]:
    """As `MaskedNetwork._global_masks`, of changed ranks."""
    recipe, changed = self.recipe, []
    for layer in self.layers:
        ranked = ranks(layer.scores.detach(), recipe.scores)
        by = factors(way, layer.name, ranked)
        changed.append(ranked * by.view(-1, *[1] * (ranked.ndim - 1)))
    sizes = [each.numel() for each in changed]
    least = layer_minimums(sizes, prune, recipe.layer_minimum, recipe.rounding)
    return top_masks(changed, recipe.kept(self.size, prune), least)


def searched(
    images: ImageSet, given: dict[str, Any], device: str
) -> tuple[torch.nn.Module, list[EpochRecord]]:
    """A plain network with the weights that a search found, and its epochs."""
    config, records = config_from(given).resolve(), list[EpochRecord]()

    def network() -> torch.nn.Module:
        return build(
            config.arch,
            classes=len(images.classes),
            channels=images.channels,
            image_size=images.image_size,
            options=config.options,
        )

    where, settings = torch.device(device), settings_of(config)
    masked = search(network().to(where), images, settings, where, Listeners(records.append), "eager")
    plain, state = network(), masked.network.state_dict()
    state |= masked.effective()
    plain.load_state_dict({name: state[name] for name in plain.state_dict()})
    return plain.eval(), records


def opened(model: Any) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def one(images: ImageSet, given: dict[str, Any], way: str, device: str) -> dict[str, Any]:
    """A search and what shrinking makes of it."""
    MaskedNetwork._global_masks = partialmethod(lambda self, prune: masks(way, self, prune))  # type: ignore
    network, records = searched(images, given, device)
    side, channels = images.image_size, images.channels
    pixels = np.random.default_rng(0).standard_normal((16, channels, side, side)).astype(np.float32)
    folded = fold_batch_norm(network, [torch.from_numpy(pixels)])
    spec = InputSpec(channels, side, (0.5,) * channels, (0.25,) * channels, False)
    stamp(model := to_onnx(folded.network, spec), {})
    shrunk = shrink(model)
    sessions = {"shrunk": opened(shrunk.model), "whole": opened(model)}
    row: dict[str, Any] = {
        "before": dataclasses.asdict(shrunk.before),
        "after": dataclasses.asdict(shrunk.after),
    }
    row["images"] = len(images.test_labels)
    row["errors_last_three"] = [round((1 - each.accuracy) * row["images"]) for each in records[-3:]]
    for batch in (1, 16):
        fed = {"images": pixels[:batch]}
        calls = {key: partial(each.run, None, fed) for key, each in sessions.items()}
        samples = measure(calls, seconds=1.0, min_rounds=64, seed=0)
        ratio = ratio_of_medians(samples["shrunk"], samples["whole"], 0)
        row[f"latency{batch}"] = dataclasses.asdict(ratio)
    return row


def read(record: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []


def key_of(row: dict[str, Any]) -> tuple[Any, ...]:
    """What tells searches apart."""
    return tuple(row[name] for name in ("data", "arch", "epochs", "trial", "prune", "how", "seed"))


def grid(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The searches asked for that the record lacks, until the minutes are over."""
    until, there = time.monotonic() + 60 * args.minutes, {key_of(row) for row in read(args.record)}
    about = {"data": args.data, "arch": args.arch, "epochs": args.epochs, "trial": args.trial}
    for seed in args.seeds:
        for prune in args.prune:
            for way in args.ways:
                row = about | {"prune": prune, "how": way, "seed": seed}
                if key_of(row) in there:
                    continue
                if time.monotonic() > until:
                    print(f"the {args.minutes:g} minutes are over", file=sys.stderr)
                    return
                yield row


def first_of(images: ImageSet, count: int) -> ImageSet:
    """That many of the train images and a quarter as many of the test images."""
    return dataclasses.replace(
        images,
        train_images=np.asarray(images.train_images[:count]),
        train_labels=images.train_labels[:count],
        test_images=np.asarray(images.test_images[: count // 4]),
        test_labels=images.test_labels[: count // 4],
    )


def run(args: argparse.Namespace) -> int:
    """Runs what the record lacks, and appends it line by line; how many failed."""
    torch.set_num_threads(1)
    images, failed = load(args.data, data_root=args.data_root), 0
    images = first_of(images, args.trial) if args.trial else images
    args.record.parent.mkdir(parents=True, exist_ok=True)
    for row in grid(args):
        started = time.perf_counter()
        given = {name: row[name] for name in ("data", "arch", "epochs", "prune", "seed")}
        try:
            row |= one(images, given | {"scope": "global", "batch_norm": "learned"}, row["how"], args.device)
        except Exception as error:  # unattended: the others still count
            print(f"{key_of(row)}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            failed += 1
            continue
        row |= {"seconds": round(time.perf_counter() - started, 1), "date": date.today().isoformat()}
        row |= {"torch": torch.__version__, "onnxruntime": onnxruntime.__version__, "cpu": cpu_model()}
        row["gpu"] = torch.cuda.get_device_name() if args.device == "cuda" else ""
        with args.record.open("a") as out:
            out.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)
        gc.collect()
        torch.cuda.empty_cache()  # nothing where there is no GPU
    return failed


def show(record: Path) -> None:
    """Means over seeds, and the standard error of the share of wrong images."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in read(record):
        groups.setdefault(key_of(row)[:-1], []).append(row)
    for key, rows in groups.items():
        print(json.dumps({"what": key, **summary(rows)}))


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over seeds, and the standard error of the share of wrong images."""
    shares = [statistics.mean(row["errors_last_three"]) / row["images"] for row in rows]
    error = statistics.stdev(shares) / len(rows) ** 0.5 if len(rows) > 1 else None
    found = {"n": len(rows), "error": statistics.mean(shares), "standard_error": error}
    for key in ("filters", "multiply_adds", "parameters"):
        found[key] = statistics.mean(row["after"][key] / row["before"][key] for row in rows)
    for batch in (1, 16):
        found[f"latency{batch}"] = statistics.mean(row[f"latency{batch}"]["ratio"] for row in rows)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", type=Path, help="of lines; those that are there are not run again")
    parser.add_argument("--show", type=Path, help="a record's means, in the place of searches")
    parser.add_argument("--ways", nargs="+", default=["off", "power-2", "power-4", "power-8"])
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--arch", default="resnet20")
    parser.add_argument("--prune", type=float, nargs="+", default=[0.9, 0.95, 0.98])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--minutes", type=float, default=60.0, help="after which no search is begun [60]")
    parser.add_argument("--trial", type=int, default=0, help="so many images alone, for a trial")
    args = parser.parse_args()
    if args.show:
        return show(args.show)
    if args.record is None:
        parser.error("expected --record FILE.jsonl or --show FILE.jsonl")
    sys.exit(run(args) > 0)


if __name__ == "__main__":
    main()
