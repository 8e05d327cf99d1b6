#!/usr/bin/env python3
"""How far sessions of one file are apart, and what an interval over rounds makes of that.

    PYTHONPATH=.dev python benchmarks/session_effect.py --record benchmarks/records/NAME.json MODEL.onnx ...

In each of `--processes` fresh processes, `--sessions` sessions of one file are opened and run in rounds of
random order, as a block of the gate has them. All are equal, so every difference is noise. Said is

- the standard deviation of a session's median around that of its process, and of processes' medians;
- the same of the medians of two halves of one session's rounds, as if they were two sessions: the noise that
  rounds alone would leave;
- of all pairs of sessions within a process, the share whose 95 % bootstrap interval over rounds, of the ratio
  of medians, does not include 1. It would be 5 % if rounds were all that varies.
"""

import argparse
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from common.record import write_record

from recycle_pipeline.evaluators.blocks import Block, Blocks
from recycle_pipeline.evaluators.samples import LatencySamples, ratio_of_medians
from recycle_pipeline.evaluators.setting import Setting


def wrong(block: Block) -> list[bool]:
    """Of each pair of sessions, whether an interval over rounds calls them different."""
    samples = [LatencySamples(tuple((row / 1e6).tolist())) for row in block.ns]
    found = [ratio_of_medians(a, b, 0) for a, b in combinations(samples, 2)]
    return [not each.low <= 1 <= each.high for each in found]


def measured(path: Path, processes: int, sessions: int) -> dict[str, Any]:
    maker = Blocks([path] * sessions, Setting(), np.random.default_rng(0))
    blocks = [maker.measure() for _ in range(processes)]
    logs = np.log([block.medians for block in blocks])  # (processes, sessions)
    halves = [np.log(np.median(block.ns[:, i::2], axis=1)) for block in blocks for i in (0, 1)]
    differences = np.array([halves[i] - halves[i + 1] for i in range(0, len(halves), 2)])
    alarms = [alarm for block in blocks for alarm in wrong(block)]
    return {
        "model": str(path),
        "ms": float(np.exp(np.median(logs))),
        "rounds": int(np.median([block.ns.shape[1] for block in blocks])),
        "session_deviation": float(np.sqrt(logs.var(axis=1, ddof=1).mean())),
        "process_deviation": float(logs.mean(axis=1).std(ddof=1)),
        # A half has half the rounds: its median varies by sqrt(2) times the whole's, a difference by twice.
        "deviation_of_rounds_alone": float(np.sqrt((differences**2).mean()) / 2),
        "largest_ratio_within_a_process": float(np.exp((logs.max(axis=1) - logs.min(axis=1)).max())),
        "pairs": len(alarms),
        "pairs_that_an_interval_over_rounds_calls_different": sum(alarms),
        "medians_ms": np.exp(logs).tolist(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--processes", type=int, default=20)
    parser.add_argument("--sessions", type=int, default=4)
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    rows = []
    for path in args.models:
        rows.append(measured(path, args.processes, args.sessions))
        print({key: value for key, value in rows[-1].items() if key != "medians_ms"}, flush=True)
    write_record(args.record, __doc__.splitlines()[0], sessions=args.sessions, rows=rows)


if __name__ == "__main__":
    main()
