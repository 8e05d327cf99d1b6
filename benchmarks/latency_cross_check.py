#!/usr/bin/env python3
"""Latencies of `bench` beside those that polygraphy's ONNX Runtime runner reports for the same files.

    pip install --no-deps --target /tmp/polygraphy polygraphy
    PYTHONPATH=.dev python benchmarks/latency_cross_check.py --polygraphy /tmp/polygraphy MODEL.onnx ...

In turns, in random order: a block of `bench` (a fresh process, warm-up, 250 rounds at the most), and a fresh
process in which polygraphy's `OnnxrtRunner` runs the model as often on the same kind of input and says how
long each took. Both sessions have one thread and the same options. A pair gives the ratio of the two medians;
the interval is Student's over the pairs.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
from common.record import write_record

from recycle_pipeline.evaluators.bench import spread
from recycle_pipeline.evaluators.blocks import Blocks
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
        runner.infer({name: images})
        times.append(runner.last_inference_time())
print(json.dumps({"version": polygraphy.__version__, "ms": [1000 * t for t in times]}))
"""
WARM_UP, RUNS = 30, 250


def by_polygraphy(path: Path, where: Path) -> tuple[str, float]:
    command = [sys.executable, "-c", CHILD, str(path), str(where), str(WARM_UP + RUNS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    found = json.loads(done.stdout.splitlines()[-1])
    return found["version"], float(np.median(found["ms"][WARM_UP:]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--polygraphy", type=Path, required=True, help="the folder it was installed into")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    rng, rows, version = np.random.default_rng(0), [], ""
    for path in args.models:
        blocks, pairs = Blocks([path], Setting(), rng), []
        for _ in range(args.pairs):
            pair = {}
            for who in rng.permutation(["bench", "polygraphy"]):
                if who == "bench":
                    pair["bench"] = float(blocks.measure().medians[0])
                else:
                    version, pair["polygraphy"] = by_polygraphy(path, args.polygraphy)
            pairs.append(pair)
        ours, theirs = (np.array([pair[who] for pair in pairs]) for who in ("bench", "polygraphy"))
        row = {"model": str(path), "bench_ms": asdict(spread(ours)), "polygraphy_ms": asdict(spread(theirs))}
        row |= {"ratio": asdict(spread(ours / theirs)), "pairs": pairs}
        rows.append(row)
        print(path, {key: row[key] for key in ("bench_ms", "polygraphy_ms", "ratio")}, flush=True)
    write_record(args.record, __doc__.splitlines()[0], polygraphy=version, rows=rows)


if __name__ == "__main__":
    main()
