#!/usr/bin/env python3
"""Grids of searches, run a part at a time: what is in the record is not run again.

    python benchmarks/grid.py confound --data-root DIR --record benchmarks/records/confound.jsonl --minutes 9
    python benchmarks/grid.py --show benchmarks/records/confound.jsonl

Each line of the record is one finished search: its settings, the accuracy of the last epoch and of the
best, time and hardware. Searches run `--jobs` at a time on each GPU, in processes that live on; when the
minutes are over none is begun. Accuracy is on the test split, or with `--hold-out` on that many images
held out of the train split, by which choices are made.
"""

import argparse
import json
import math
import multiprocessing
import os
import statistics
import subprocess
import time
from datetime import date
from pathlib import Path
from typing import Any

from grids import GRIDS


def work(todo: Any, done: Any, gpu: str, data_root: str, hold_out: int, tickets: str, until: float) -> None:
    """Searches until nothing is left or the time is over, on the GPU of this number if there is one."""
    if gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # before torch looks
    import torch

    from recycle_pipeline.exporters.ticket.writer import write_ticket
    from recycle_pipeline.models.registry import build
    from recycle_pipeline.pipeline.api import merge
    from recycle_pipeline.pipeline.data import load
    from recycle_pipeline.pipeline.data.searched import searched
    from recycle_pipeline.pipeline.given import config_from
    from recycle_pipeline.pipeline.search.listeners import Listeners
    from recycle_pipeline.pipeline.search.loop import search
    from recycle_pipeline.pipeline.search.outcome import subnetwork_of
    from recycle_pipeline.pipeline.stages.search import settings_of

    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images = None
    while time.time() < until and not todo.empty():
        try:
            key, options = todo.get(timeout=1)
        except Exception:  # another process took the last
            return
        config = config_from(merge({}, {**options, "data_root": data_root})).resolve()
        if images is None:
            images = load(config.data, data_root=Path(data_root) if data_root else None)
        network = build(
            config.arch,
            classes=len(images.classes),
            channels=images.channels,
            image_size=images.image_size,
            options=config.options,
        )
        records: list[Any] = []
        notes: list[str] = []
        started = time.perf_counter()
        try:
            seen = searched(images, hold_out, config.cutout)
            tell = Listeners(records.append, note=notes.append)
            masked = search(network, seen, settings_of(config), device, tell)
        except Exception as error:
            done.put({"key": key, "options": options, "error": f"{type(error).__name__}: {error}"[:400]})
            continue
        row = {"key": key, "options": options, "epochs": config.epochs}
        row |= {"last": records[-1].accuracy, "best": max(r.accuracy for r in records)}
        row |= {"last_five": statistics.mean(r.accuracy for r in records[-5:])}
        row |= {"accuracies": [round(r.accuracy, 4) for r in records]}
        row |= {"loss": records[-1].loss, "seconds": round(time.perf_counter() - started, 1)}
        row |= {"split": f"held out {hold_out}" if hold_out else "test", "date": date.today().isoformat()}
        row |= {
            "gpu": torch.cuda.get_device_name() if device.type == "cuda" else "",
            "torch": torch.__version__,
        }
        done.put(row | {"notes": notes})
        if tickets:
            subnetwork = subnetwork_of(masked, seen, config.arch, {}, config.options)
            write_ticket(subnetwork, Path(tickets) / f"{key}-{config.seed}.safetensors")


def run(args: argparse.Namespace) -> None:
    """Runs what the record lacks, and appends it line by line."""
    split = f"held out {args.hold_out}" if args.hold_out else "test"
    there = {(r["key"], r["options"]["seed"]) for r in read(args.record) if r.get("split") == split}
    arms = [
        (key, options | ({"epochs": args.epochs} if args.epochs else {}))
        for key, options in GRIDS[args.grid]()
        if (key, options["seed"]) not in there
        and any(part in key for part in args.only or [""])
        and options["seed"] in (args.seeds or [options["seed"]])
    ]
    print(f"{len(there)} in the record, {len(arms)} to do")
    context = multiprocessing.get_context("spawn")
    todo, done = context.Queue(), context.Queue()
    for arm in arms:
        todo.put(arm)
    until = time.time() + 60 * args.minutes
    parts = (args.data_root, args.hold_out, args.tickets, until)
    workers = [
        context.Process(target=work, args=(todo, done, gpu, *parts), daemon=True)
        for _ in range(args.jobs)
        for gpu in gpus()
    ]
    for worker in workers:
        worker.start()
    args.record.parent.mkdir(parents=True, exist_ok=True)
    with args.record.open("a") as out:
        while any(worker.is_alive() for worker in workers) or not done.empty():
            try:
                row = done.get(timeout=1)
            except Exception:  # nothing finished in this second
                continue
            print(
                row["key"],
                row["options"]["seed"],
                row.get("last", row.get("error")),
                row.get("seconds"),
                flush=True,
            )
            if "error" not in row:
                out.write(json.dumps(row) + "\n")
                out.flush()


def gpus() -> list[str]:
    """The numbers of the GPUs that may be used; one empty name where there is none."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return os.environ["CUDA_VISIBLE_DEVICES"].split(",")
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True).stdout
    except FileNotFoundError:
        return [""]
    return [str(number) for number in range(listed.count("UUID"))] or [""]


def read(record: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []


def show(record: Path) -> None:
    """Mean and 95 % interval (t, of the mean) by arm."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in read(record):
        groups.setdefault(row["key"], []).append(row)
    quantiles = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571}
    for key, rows in groups.items():
        last = [100 * row["last"] for row in rows]
        spread = ""
        if len(last) > 1:
            half = quantiles.get(len(last), 2.0) * statistics.stdev(last) / math.sqrt(len(last))
            spread = f" +- {half:.2f}"
        best = statistics.mean(100 * row["best"] for row in rows)
        print(f"{key:44} n={len(rows)}  last {statistics.mean(last):.2f}{spread}  best {best:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("grid", nargs="?", choices=GRIDS)
    parser.add_argument("--show", type=Path)
    parser.add_argument("--record", type=Path)
    parser.add_argument("--data-root", default="")
    parser.add_argument("--hold-out", type=int, default=0)
    parser.add_argument("--tickets", default="", help="a folder to leave each search's ticket in")
    parser.add_argument("--jobs", type=int, default=4, help="per GPU")
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--epochs", type=int, help="other than the grid's, for a trial")
    parser.add_argument("--only", nargs="+", help="arms whose name holds one of these")
    parser.add_argument("--seeds", nargs="+", type=int, help="of the grid's [all]")
    args = parser.parse_args()
    if args.show:
        show(args.show)
    elif args.grid and args.record:
        run(args)
    else:
        parser.error("expected a grid and --record FILE, or --show FILE")


if __name__ == "__main__":
    main()
