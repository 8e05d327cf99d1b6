#!/usr/bin/env python3
"""Latencies of `bench` beside those that polygraphy's ONNX Runtime runner reports for the same files.

    pip install --no-deps --target /tmp/polygraphy polygraphy
    PYTHONPATH=.dev python benchmarks/latency_cross_check.py --polygraphy /tmp/polygraphy MODEL.onnx ...

In turns, in random order: a block of `bench` (a fresh process, warm-up, 250 rounds at the most), and a fresh
process in which polygraphy's `OnnxrtRunner` runs the model as often on the same kind of input and says how
long each took: as it is by default, and without its check of inputs, which is no part of its time but cools
the caches for what is. All sessions have one thread and the same options. A turn gives ratios of medians; the
intervals are Student's over the turns.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from common.record import write_record

from recycle_pipeline.evaluators.blocks import Blocks
from recycle_pipeline.evaluators.samples import spread
from recycle_pipeline.evaluators.setting import Setting

CHILD = """
import json, sys
sys.path.insert(0, sys.argv[2])
import numpy as np
import onnxruntime
import polygraphy
from polygraphy.backend.onnxrt import OnnxrtRunner
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
options.add_session_config_entry("session.force_spinning_stop", "1")
def session():
    return onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
times = []
with OnnxrtRunner(session) as runner:
    ((name, about),) = runner.get_input_metadata().items()
    shape = [1] + [int(size) for size in about.shape[1:]]
    images = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    for _ in range(int(sys.argv[3])):
        runner.infer({name: images}, check_inputs=sys.argv[4] == "checked")
        times.append(runner.last_inference_time())
print(json.dumps({"version": polygraphy.__version__, "ms": [1000 * t for t in times]}))
"""
WARM_UP, RUNS = 30, 250
HOW = ("checked", "unchecked")


def by_polygraphy(path: Path, where: Path, how: str) -> tuple[str, float]:
    command = [sys.executable, "-c", CHILD, str(path), str(where), str(WARM_UP + RUNS), how]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    found = json.loads(done.stdout.splitlines()[-1])
    return found["version"], float(np.median(found["ms"][WARM_UP:]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--polygraphy", type=Path, required=True, help="the folder it was installed into")
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    rng, rows, version = np.random.default_rng(0), [], ""
    for path in args.models:
        blocks, turns = Blocks([path], Setting(), rng), []
        for _ in range(args.turns):
            turn = {}
            for who in rng.permutation(["bench", *HOW]):
                if who == "bench":
                    turn[who] = float(blocks.measure().medians[0])
                else:
                    version, turn[who] = by_polygraphy(path, args.polygraphy, who)
            turns.append(turn)
        ms = {who: np.array([turn[who] for turn in turns]) for who in ("bench", *HOW)}
        row: dict[str, Any] = {"model": str(path), "ms": {who: asdict(spread(ms[who])) for who in ms}}
        row["bench_over_polygraphy"] = {how: asdict(spread(ms["bench"] / ms[how])) for how in HOW}
        print(row, flush=True)
        rows.append(row | {"turns": turns})
    write_record(args.record, __doc__.splitlines()[0], polygraphy=version, rows=rows)


if __name__ == "__main__":
    main()
