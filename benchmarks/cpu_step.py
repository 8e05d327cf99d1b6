#!/usr/bin/env python3
"""Where a step of the default search on a CPU goes, by its parts; and what an exact rank takes.

    python benchmarks/cpu_step.py --record benchmarks/records/NAME.json

Each search is a process of its own, `run --arch resnet18 --prune 0.9` on digits for a few epochs, with the
parts of a step timed where they call each other. Ranks are of uniform numbers, with numpy's ordering as this
processor has it and as one without AVX-512 has it.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common.record import write_record

SIZE, KEPT, REPEATS = 2_359_296, 0.1, 20  # the largest layer of ResNet-18
WITHOUT_AVX512 = {"NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL"}  # numpy's names since 2.4


def searched(epochs: int) -> list[dict[str, Any]]:
    """A search in this process: for each epoch milliseconds per step by part, and pages asked for."""
    from recycle_pipeline.models import masked, masked_network
    from recycle_pipeline.pipeline.search import eager, optimizer

    spent: Counter[str] = Counter()

    def timed(owner: Any, name: str, part: str) -> None:
        work = getattr(owner, name)

        def with_time(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return work(*arguments, **named)
            finally:
                spent[part] += time.perf_counter() - began

        setattr(owner, name, with_time)

    timed(masked_network, "top_mask", "ranking")
    timed(masked.MaskedWeight, "refresh", "gains and effective weights")
    timed(eager.torch.Tensor, "backward", "backward pass")
    timed(optimizer.Lars, "step", "optimizer")
    rows = []
    train = eager.EagerSteps.train_epoch

    def train_epoch(self: Any, *arguments: Any) -> Any:
        spent.clear()
        before, began = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter()
        sums = train(self, *arguments)
        whole = time.perf_counter() - began
        steps = len(self._training.batch_sizes(self._settings.batch_size))
        parts = {part: round(1e3 * seconds / steps, 1) for part, seconds in spent.items()}
        asked = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        rows.append({"ms_per_step": round(1e3 * whole / steps, 1), **parts, "pages_asked_for": asked})
        return sums

    eager.EagerSteps.train_epoch = train_epoch  # type: ignore[method-assign]
    from recycle_pipeline.pipeline.cli import main as command

    try:
        command(["search", "--arch", "resnet18", "--prune", "0.9", "--epochs", str(epochs), "--quiet"])
    except SystemExit as leaving:
        assert not leaving.code, leaving.code
    return rows


def ranked() -> dict[str, float]:
    """Milliseconds of a rank among `SIZE` numbers, median: by numpy's partition, and by a sample's bounds."""
    from recycle_pipeline.models.order import value_at

    values = np.random.default_rng(0).random(SIZE, dtype=np.float32)
    rank = int(SIZE * (1 - KEPT))
    ways: dict[str, Callable[[], Any]] = {
        "partition": lambda: np.partition(values, rank)[rank],
        "by_a_sample": lambda: value_at(values, rank),
    }
    assert ways["partition"]() == ways["by_a_sample"]()
    found = {}
    for name, way in ways.items():
        times = []
        for _ in range(REPEATS):
            began = time.perf_counter()
            way()
            times.append(1e3 * (time.perf_counter() - began))
        found[f"{name}_ms"] = round(statistics.median(times), 2)
    return found


def apart(what: list[str], environment: dict[str, str] | None = None) -> Any:
    """What this script prints in a process of its own, in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, str(Path(__file__).resolve()), "--here", *what]
        there = {**os.environ, **(environment or {})}
        done = subprocess.run(line, cwd=folder, env=there, check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3, help="searches, one after the other")
    parser.add_argument("--here", nargs="+", help="in this process: `ranks`, or `search` and epochs")
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    if args.here:
        print(json.dumps(ranked() if args.here[0] == "ranks" else searched(int(args.here[1]))))
        return
    rows = []
    for _ in range(args.rounds):
        epochs = apart(["search", str(args.epochs)])[1:]  # the first makes what the others find
        rows.append({name: round(statistics.mean(epoch[name] for epoch in epochs), 1) for name in epochs[0]})
        print(rows[-1], flush=True)
    ranks = {"as_it_is": apart(["ranks"]), "without_avx512": apart(["ranks"], WITHOUT_AVX512)}
    print(ranks)
    write_record(args.record, __doc__.splitlines()[0], rows=rows, ranks=ranks)


if __name__ == "__main__":
    main()
