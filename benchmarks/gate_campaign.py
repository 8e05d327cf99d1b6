#!/usr/bin/env python3
"""The gate against true slowdowns and against none, beside a naive gate, with and without a competing load.

    nice -n 19 python benchmarks/gate_campaign.py --model onnx/model.onnx --record benchmarks/records/X.jsonl
    python benchmarks/gate_campaign.py --record benchmarks/records/X.jsonl --show

A true slowdown is the same model with real work added: two more matrix products, K to H and back, whose
product is the identity (`common/slowed.py`). H is calibrated on this machine; what each file is slower by is
then measured in `--verify` blocks and written to the record, as `effect` rows, before any gate runs. Gates
judge with the defaults of `recycle-pipeline gate`: limit 5 %, at most 60 s, 1 % errors.

Beside each gate runs the naive one: both models opened once in one process, 5 calls to warm up, the mean of
20 calls each, one model after the other; a regression where the ratio is above 1.05.

Under `load`, a process of the script's own computes in bursts of 0.05 to 2 s with pauses of 0 to 1 s on top
of what else the machine does. Gates are appended to the record as they end: the same command goes on with
what is missing, and cells grow side by side. Whoever stops it keeps what is there.

A model that takes longer needs more hidden units to be slowed by as much, and may be given fewer gates:

    ... --model resnet18/onnx/model.onnx --grid 5000 10000 20000 30000 40000 --share 0.1 --loads none
"""

import argparse
import json
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from common.slowed import contrasts, hidden_for, ratio, write_slowed

from recycle_pipeline.evaluators.accuracy import wilson
from recycle_pipeline.evaluators.gate import Increases, Plan, gate
from recycle_pipeline.evaluators.setting import Setting
from recycle_pipeline.evaluators.workers import Worker
from recycle_pipeline.pipeline.environment import describe_environment

GATES = {0.0: 200, 0.025: 20, 0.05: 20, 0.075: 20, 0.10: 60, 0.20: 20}  # by effect, per load
GRID = (400, 1200, 2400, 4800, 9600)
SOONER = {0.05: 6, 0.0: 2, 0.10: 2}  # how many times as fast as the others these fill
LOADS = ("none", "load")
TIMES = (10, 15, 20, 30, 60)  # s, of the table
NAIVE_RUNS, NAIVE_WARM_UP, LIMIT = 20, 5, 0.05
Row = dict[str, Any]


def rows_of(record: Path) -> list[Row]:
    return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []


def append(record: Path, row: Row) -> None:
    with record.open("a") as file:
        file.write(json.dumps(row) + "\n")


def burn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    work = rng.standard_normal((256, 256)).astype(np.float32)
    parent = os.getppid()
    while os.getppid() == parent:  # it must not outlive a campaign that was killed
        end = time.perf_counter() + rng.uniform(0.05, 2.0)
        while time.perf_counter() < end:
            work @ work
        time.sleep(rng.uniform(0.0, 1.0))


@contextmanager
def competing(load: str, seed: int) -> Iterator[None]:
    if load == "none":
        yield
        return
    process = multiprocessing.get_context("spawn").Process(target=burn, args=(seed,), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def effect_path(folder: Path, hidden: int) -> Path:
    return folder / f"slowed-{hidden}.onnx"


def prepare(args: argparse.Namespace) -> dict[float, Row]:
    """The slowed models, and what each is slower by: from the record, or measured now."""
    known = {row["effect"]: row for row in rows_of(args.record) if row["kind"] == "effect"}
    if not known:
        args.record.parent.mkdir(parents=True, exist_ok=True)
        append(
            args.record, {"kind": "environment", "what": __doc__.splitlines()[0], **describe_environment()}
        )
        effects = [effect for effect in GATES if effect]
        sizes = hidden_for(args.model, args.folder, effects, args.grid, args.grid_blocks)
        for effect, hidden in zip(effects, sizes, strict=True):
            path = effect_path(args.folder, hidden)
            row = {"kind": "effect", "effect": effect, "hidden": hidden}
            row |= {"more_multiply_adds": write_slowed(args.model, path, hidden)}
            row |= {"verified": ratio(contrasts(args.model, path, args.verify, hidden))}
            append(args.record, row)
            known[effect] = row
            print(row, flush=True)
    for row in known.values():
        if not effect_path(args.folder, row["hidden"]).exists():
            write_slowed(args.model, effect_path(args.folder, row["hidden"]), row["hidden"])
    return known


def naive(baseline: Path, candidate: Path) -> Row:
    started, means = time.perf_counter(), []
    with Worker() as worker:
        for path in (baseline, candidate):
            worker.open(path, Setting())
        for which in (0, 1):
            worker.run([which] * NAIVE_WARM_UP)
            means.append(float(np.mean(worker.run([which] * NAIVE_RUNS))))
    outcome = "failed" if means[1] / means[0] > 1 + LIMIT else "passed"
    return {"outcome": outcome, "ratio": means[1] / means[0], "seconds": time.perf_counter() - started}


def trial(args: argparse.Namespace, candidate: Path, seed: int) -> Row:
    started = time.perf_counter()
    report = gate(args.model, candidate, Increases(slowdown=LIMIT), Plan(seconds=args.seconds, seed=seed))
    found = report.measured.judgements["latency"]
    return {
        "outcome": report.outcome,
        "seconds": time.perf_counter() - started,
        "blocks": found.n,
        **{key: getattr(found, key) for key in ("ratio", "low", "high", "bootstrap_low", "bootstrap_high")},
        "noise_floor": found.noise_floor,
        "between": [
            float(np.log(b.medians[2:]).mean() - np.log(b.medians[:2]).mean()) for b in report.measured.blocks
        ],
        "naive": naive(args.model, candidate),
        "load_average": os.getloadavg()[0],
    }


def next_cell(rows: list[Row], loads: list[str], share: float) -> tuple[str, float] | None:
    """The cell that is furthest behind, None when all are full, or as full as `share` says."""
    wanted = {effect: max(1, round(share * gates)) for effect, gates in GATES.items()}
    done = Counter((row["load"], row["effect"]) for row in rows if row["kind"] == "gate")
    missing = [(load, e) for load in loads for e in GATES if done[load, e] < wanted[e]]
    return min(missing, key=lambda cell: done[cell] / wanted[cell[1]] / SOONER.get(cell[1], 1), default=None)


def campaign(args: argparse.Namespace) -> None:
    effects = prepare(args)
    while cell := next_cell(rows := rows_of(args.record), args.loads, args.share):
        load, effect = cell
        candidate = effect_path(args.folder, effects[effect]["hidden"]) if effect else args.model
        with competing(load, len(rows)):
            row = trial(args, candidate, len(rows))
        append(args.record, {"kind": "gate", "load": load, "effect": effect, **row})


def show(record: Path) -> None:
    rows = rows_of(record)
    for row in rows:
        if row["kind"] == "effect":
            found = row["verified"]
            ends = f"{found['low']:.4f} to {found['high']:.4f}, n = {found['blocks']} blocks"
            print(f"asked {row['effect']:.1%}: ratio {found['ratio']:.4f} ({ends})")
    heading = "load  effect    n  pass  regr  incl | found slower, 95 % interval | median s   p95 s |"
    print(f"{heading} found within {', '.join(map(str, TIMES))} s | naive: pass  regr")
    for load in LOADS:
        for effect in GATES:
            cell = [r for r in rows if r["kind"] == "gate" and (r["load"], r["effect"]) == (load, effect)]
            if cell:
                print(f"{load:5} {effect:6.1%} {line(cell)}")


def line(cell: list[Row]) -> str:
    n, count = len(cell), Counter(row["outcome"] for row in cell)
    plain = Counter(row["naive"]["outcome"] for row in cell)
    low, high = wilson(count["failed"], n)
    median, most = np.percentile([row["seconds"] for row in cell], [50, 95])
    slower = [row["seconds"] for row in cell if row["outcome"] == "failed"]
    within = " ".join(f"{sum(each <= limit for each in slower) / n:5.0%}" for limit in TIMES)
    return (
        f"{n:4} {count['passed']:5} {count['failed']:5} {count['inconclusive']:5} | "
        f"{count['failed'] / n:7.2%}, {low:6.2%} to {high:7.2%} | {median:8.1f} {most:7.1f} | {within}    | "
        f"{plain['passed']:11} {plain['failed']:5}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="an ONNX classifier; small ones make short campaigns")
    parser.add_argument("--record", type=Path, required=True, help="appended to")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/gate-campaign"), help="for slowed models")
    parser.add_argument("--loads", nargs="+", choices=LOADS, default=list(LOADS))
    parser.add_argument("--grid", nargs="+", type=int, default=GRID, help="hidden units that calibrate")
    parser.add_argument("--share", type=float, default=1.0, help="of the gates that a campaign has")
    parser.add_argument("--grid-blocks", type=int, default=12)
    parser.add_argument("--verify", type=int, default=40, help="blocks that verify an effect")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--show", action="store_true")
    args = parser.parse_args()
    if args.show:
        show(args.record)
        return
    args.folder.mkdir(parents=True, exist_ok=True)
    campaign(args)


if __name__ == "__main__":
    main()
