#!/usr/bin/env python3
"""Where the wall time of one search command goes: imports, data, preparing, epochs, checkpoints, the end.

    python benchmarks/command_timeline.py --data-root DIR --record benchmarks/records/NAME.json
    python benchmarks/command_timeline.py --epochs 3 --data digits -- --arch resnet20

The command runs in a process of its own, in an empty folder, with nothing in the caches of torch's compiler
and of triton, and is timed from outside; moments within it are taken where its parts call each other. What
follows `--` is given to `search`. `--engine` has one engine prepared, not the captured and, where that is
won back, the compiled one; with `--unhurried` it is compiled with torch's own options.
"""

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common.record import write_record

CACHES = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")


def marked(into: Path, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    """The function, and a line for each call of it: name, beginning and end in seconds of the clock."""

    @functools.wraps(work)
    def timed(*arguments: Any, **named: Any) -> Any:
        began = time.time()
        try:
            return work(*arguments, **named)
        finally:
            with into.open("a") as out:
                out.write(json.dumps([name, began, time.time()]) + "\n")

    return timed


def compile_something() -> None:
    """Has torch's compiler imported and its workers started."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.compile(lambda x: x * 2 + 1, dynamic=False)(torch.zeros(1024, device=device))


def here(into: Path, engine: str, early: bool, unhurried: bool, arguments: list[str]) -> None:
    """The command in this process, with its parts marked."""
    from recycle_pipeline.pipeline.waiting import wait_suitably

    wait_suitably()
    marked(into, "import of torch", functools.partial(__import__, "torch"))()

    def rest() -> None:
        from recycle_pipeline.pipeline.search import captured, eager, loop  # noqa: F401

    marked(into, "import of the search", rest)()
    from recycle_pipeline.pipeline.cli import process
    from recycle_pipeline.pipeline.search import compiling
    from recycle_pipeline.pipeline.search.captured import CapturedSteps
    from recycle_pipeline.pipeline.search.checkpoints import Checkpoints
    from recycle_pipeline.pipeline.search.engines import Engines
    from recycle_pipeline.pipeline.stages import search as stage
    from recycle_pipeline.pipeline.stages import stage as contexts

    for owner, part, name in (
        (contexts, "load", "data"),
        (stage, "_network", "network"),
        (Engines, "_attempted", "engine"),
        (CapturedSteps, "_record", "a full batch's step"),
        (CapturedSteps, "complete", "a smaller batch's, and the evaluation"),
        (CapturedSteps, "train_epoch", "epoch"),
        (CapturedSteps, "evaluate", "evaluation"),
        (Checkpoints, "take", "checkpoint"),
        (Checkpoints, "settled", "checkpoint"),
        (Checkpoints, "__exit__", "checkpoint"),
        (stage, "_searched", "searched"),
        (stage, "_stored", "stored"),
    ):
        setattr(owner, part, marked(into, name, getattr(owner, part)))
    if unhurried:
        compiling.quickly = lambda: None  # type: ignore[assignment]
    first = threading.Thread(target=marked(into, "compiler's start", compile_something))
    if early:
        first.start()
    chosen = Engines.chosen

    def chosen_then(self: Engines, asked: str) -> Any:
        if early:
            first.join()  # a capture is spoilt by what other threads do
        return chosen(self, asked if engine == "auto" else engine)

    Engines.chosen = chosen_then  # type: ignore[method-assign]
    sys.argv[1:] = ["search", *arguments]
    process()


def timeline(marks: list[list[Any]], started: float, ended: float) -> dict[str, Any]:
    """Sums and spans of the parts, in seconds; moments are from the start of the process."""
    parts: dict[str, dict[str, Any]] = {}
    for name, began, done in sorted(marks, key=lambda mark: mark[1]):
        part = parts.setdefault(name, {"calls": 0, "seconds": 0.0, "first_at": began - started})
        part["calls"] += 1
        part["seconds"] += done - began
        part["last_ends_at"] = done - started
        if name == "engine":
            part.setdefault("each", []).append(round(done - began, 2))
    rounded = {
        name: {key: value if key in ("calls", "each") else round(value, 2) for key, value in part.items()}
        for name, part in parts.items()
    }
    return {"wall_seconds": round(ended - started, 2), "parts": rounded}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--data-root", default="")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--engine", default="auto", choices=("auto", "captured", "compiled"))
    parser.add_argument("--early", action="store_true", help="the compiler begins beside the data's loading")
    parser.add_argument("--unhurried", action="store_true", help="compiles with torch's own options")
    parser.add_argument("--here", type=Path, help="in this process, with its marks in this file")
    parser.add_argument("--note", default="", help="for the record: what else the machine did")
    parser.add_argument("--record", type=Path)
    parser.add_argument("further", nargs="*", metavar="-- OPTION ...", help="for the command")
    args = parser.parse_args()
    if args.here:
        here(args.here, args.engine, args.early, args.unhurried, args.further)
        return
    with tempfile.TemporaryDirectory() as folder:
        options = ["--arch", "resnet18", "--prune", "0.9", "--data", args.data, "--epochs", str(args.epochs)]
        if args.data_root:
            options += ["--data-root", str(Path(args.data_root).resolve())]
        options += args.further
        marks = Path(folder) / "marks"
        line = [sys.executable, str(Path(__file__).resolve()), "--engine", args.engine, "--here", str(marks)]
        line += [f"--{name}" for name in ("early", "unhurried") if getattr(args, name)]
        empty = {name: str(Path(folder) / name) for name in CACHES}
        started = time.time()
        subprocess.run([*line, "--", *options], cwd=folder, env={**os.environ, **empty}, check=True)
        ended = time.time()
        found = timeline([json.loads(text) for text in marks.read_text().splitlines()], started, ended)
        manifest = json.loads(next(Path(folder).rglob("manifest.json")).read_text())
    found |= {"options": options, "engine": args.engine, "early": args.early, "note": args.note}
    found["unhurried"] = args.unhurried
    found["search"] = manifest["stages"]["search"]
    print(f"wall {found['wall_seconds']} s")
    for name, part in found["parts"].items():
        print(f"  {name:22} {part['seconds']:8.2f} s in {part['calls']} calls, from {part['first_at']:.2f} s")
    write_record(args.record, __doc__.splitlines()[0], **found)


if __name__ == "__main__":
    main()
