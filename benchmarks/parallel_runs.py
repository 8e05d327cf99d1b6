#!/usr/bin/env python3
"""Whole runs beside each other, in folders of their own, on one cache: each must end as one alone does.

    python benchmarks/parallel_runs.py --runs 20 --record benchmarks/records/NAME.json

Processes are forked from one that has all imports, each with another output folder, on one folder of photos
whose decoded images are kept in one cache that is empty. Exactly one may decode them; search, ticket and
models must have the bytes of a run that was alone.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from common.record import write_record
from crashing.imports import command, with_imports
from crashing.scenarios import FORMS, NETWORK, write_photos

LINE = ("run", *NETWORK, "--data", "folder:photos", "--export", FORMS)
FILES = (
    *("search.safetensors", "ticket.safetensors"),
    *(f"onnx/model{e}.onnx" for e in ("", "-compact", "-int8")),
)
DECODES = "decodes 48 images"


def run(name: str) -> None:
    """One run in this process, what it says in a file."""
    out = os.open(f"{name}.said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    code = 70
    try:
        command([*LINE, "--output-dir", name])
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        os._exit(code)


def forked(names: list[str]) -> list[int]:
    """Exit codes of runs that were started together."""
    children = []
    for name in names:
        if (pid := os.fork()) == 0:
            run(name)
        children.append(pid)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]


def digests(root: Path) -> dict[str, str]:
    return {name: hashlib.sha256((root / name).read_bytes()).hexdigest() for name in FILES}


def found(runs: int, here: Path) -> dict[str, Any]:
    """What became of one run alone and of all the others."""
    os.chdir(here)
    write_photos(here)
    os.environ["RECYCLE_PIPELINE_CACHE"] = str(here / "cache alone")
    alone = forked(["alone"])
    if alone != [0]:
        raise SystemExit(f"the run alone ended with {alone}:\n{(here / 'alone.said').read_text()}")
    os.environ["RECYCLE_PIPELINE_CACHE"] = str(here / "cache")
    names, began = [f"run-{number}" for number in range(runs)], time.monotonic()
    codes = forked(names)
    expected = digests(here / "alone")
    return {
        "runs": runs,
        "exit_codes": sorted({*alone, *codes}),
        "that_differ": [name for name in names if digests(here / name) != expected],
        "that_decoded": sum(DECODES in (here / f"{name}.said").read_text() for name in names),
        "seconds": round(time.monotonic() - began, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    record = args.record and args.record.absolute()
    with tempfile.TemporaryDirectory() as scratch:
        with_imports(Path(scratch), {"large folder", "run"})
        result = found(args.runs, Path(scratch).resolve())
        os.chdir("/")
    print(json.dumps(result))
    write_record(record, __doc__.splitlines()[0], **result)
    sys.exit(bool(result["that_differ"]) or result["that_decoded"] != 1 or len(result["exit_codes"]) != 1)


if __name__ == "__main__":
    main()
