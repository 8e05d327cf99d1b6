#!/usr/bin/env python3
"""One model gated against itself, stored elsewhere: under another ONNX Runtime, through two references.

    PYTHONPATH=.dev python benchmarks/stored_baseline.py MODEL.onnx --there OTHER/bin/python \
        --references own=ALIKE.onnx --record benchmarks/records/X.json

For each reference (the tool's own first) the model is stored by the interpreter `--there`, whose ONNX Runtime
is another build, and by this one; then it is gated against each here. The true ratio is 1. Where one machine
is all there is, that shows what another runtime does and another minute, not what another processor does.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from common.record import write_record

MODULE = ("-W", "ignore", "-m", "recycle_pipeline.pipeline", "gate", "--quiet", "--json")


def asked(python: str, *options: str) -> dict[str, Any]:
    done = subprocess.run([python, *MODULE, *options], capture_output=True, text=True)
    if done.returncode not in (0, 5, 7):
        sys.exit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--there", required=True, help="a Python with another onnxruntime")
    parser.add_argument("--references", nargs="*", default=[], metavar="NAME=FILE")
    parser.add_argument("--seconds", default="60", help="time budget of each")
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    given = {name: ("--reference", file) for name, _, file in (r.partition("=") for r in args.references)}
    references: dict[str, tuple[str, ...]] = {"the tool's own": (), **given}
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for turn in range(args.times):
            for name, option in references.items():
                for where, python in (("there", args.there), ("here", sys.executable)):
                    file = f"{scratch}/{where}.json"
                    budget = "--time-budget", args.seconds, "--seed", str(turn)
                    more = "--candidate", str(args.model), *option, *budget
                    stored = asked(python, "--save", file, *more)
                    found = asked(sys.executable, "--baseline", file, *more)
                    latency = found["judgements"]["latency"]
                    row = {"reference": name, "stored": where, "runtime": stored["machine"][1], "turn": turn}
                    row |= {"stored_blocks": len(stored["contrasts"]["latency"]), "outcome": found["outcome"]}
                    keys = ("ratio", "low", "high", "bootstrap_low", "bootstrap_high", "noise_floor", "n")
                    row |= {key: latency[key] for key in keys} | {"seconds": found["seconds"]}
                    row |= {"median_ms": stored["median_ms"], "load_average": os.getloadavg()[0]}
                    rows.append(row)
                    print(json.dumps(row), flush=True)
    write_record(args.record, __doc__.splitlines()[0], rows=rows)


if __name__ == "__main__":
    main()
