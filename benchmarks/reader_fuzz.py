#!/usr/bin/env python3
"""Feeds readers with changed files, guided by the code they reach: configs, run folders, models, weights.

    python benchmarks/reader_fuzz.py config --folder FOLDER --minutes 20 --record benchmarks/records/NAME.json
    python benchmarks/reader_fuzz.py run --folder FOLDER --cases 10000
    python benchmarks/reader_fuzz.py model --folder FOLDER --minutes 20
    python benchmarks/reader_fuzz.py state --folder FOLDER --minutes 20
    python benchmarks/reader_fuzz.py state --sum FOLDER FOLDER --record benchmarks/records/NAME.json

A case changes bytes of a file, or a field of what it holds; cases that reach lines in an order that none
before did are changed further. It must be read, or refused by an error with a message (`models/errors.py`,
OSError). Else, or if it takes more than `--seconds`, or memory beyond `--megabytes`, or ends the process,
it is a finding, and its file is kept. A process of its own reads, is started again where it ends, and
remembers in FOLDER, where a campaign goes on. Minutes are of its CPU, over all that FOLDER remembers.
Others, of other seeds, may run beside it in folders of their own; `--sum` adds up what they found. The
ticket's reader has `ticket_fuzz.py`.
"""

import argparse
import hashlib
import json
import os
import random
import resource
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from common.record import write_record
from fuzzing.sums import added_up
from fuzzing.targets import REFUSALS, TARGETS, Target
from fuzzing.traced import Lines

MOST_BYTES = 200_000  # of a case that is changed further


class Feeding:
    """Cases of one reader, in one process.

    Args:
        target: the reader.
        folder: of the campaign, absolute.
        found: what was found so far; added to.
        seconds, megabytes: that a case may take.
    """

    def __init__(
        self, target: Target, folder: Path, found: dict[str, Any], seconds: float, megabytes: int
    ) -> None:
        self._target, self._folder, self.found, self._seconds = target, folder, found, seconds
        self._lines, self._outcomes = Lines(target.code), Counter(found["outcomes"])
        self._corpus: list[tuple[str, bytes]] = []
        seeds = list(target.seeds(folder))
        kept = [
            (path.name.partition("-")[2], path.read_bytes()) for path in sorted((folder / "corpus").iterdir())
        ]
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        for name, content in (*seeds, *kept):
            self._outcome(name, content)
            self._corpus.append((name, content))
        resource.setrlimit(resource.RLIMIT_AS, (held + (megabytes << 20),) * 2)

    def run(self, cases: int, cpu_seconds: float) -> None:
        """Until so many cases or seconds of CPU are reached, those of earlier processes included."""
        rng = random.Random(f"{self.found['seed']} {self.found['cases']}")
        while self.found["cases"] < cases and self.found["cpu_seconds"] < cpu_seconds:
            name, content = rng.choice(self._corpus)
            self._case(name, self._target.change(content, rng))
            if self.found["cases"] % 50 == 0:
                self.keep()
        self.keep()

    def keep(self) -> None:
        self.found["outcomes"] = dict(self._outcomes.most_common())
        self.found |= {"kept": len(self._corpus), "ways": len(self._lines.seen)}
        (self._folder / "state.json").write_text(json.dumps(self.found))

    def _case(self, name: str, content: bytes) -> None:
        (self._folder / "current").write_bytes(content)
        (self._folder / "current.name").write_text(name)
        before, began = len(self._lines.seen), time.process_time()
        outcome = self._outcome(name, content)
        seconds = time.process_time() - began
        self.found["cases"] += 1
        self.found["cpu_seconds"] += seconds
        self.found["slowest_seconds"] = max(self.found["slowest_seconds"], round(seconds, 2))
        self._outcomes[outcome.partition(":")[0]] += 1
        if outcome[0] == "!" or seconds > self._seconds:
            add_finding(self.found, self._folder, name, content, f"{outcome}, {seconds:.1f} s")
        if len(self._lines.seen) > before and len(content) < MOST_BYTES:
            self._corpus.append((name, content))
            (self._folder / "corpus" / f"{_digest(content)}-{name}").write_bytes(content)

    def _outcome(self, name: str, content: bytes) -> str:
        path = self._folder / name
        path.write_bytes(content)
        try:
            self._lines.during(lambda: self._target.read(path))
            return "read"
        except REFUSALS as refusal:
            return type(refusal).__name__
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            return f"! {type(error).__name__} {Path(where.filename).name}:{where.lineno}: {str(error)[:200]}"


def add_finding(found: dict[str, Any], folder: Path, name: str, content: bytes, what: str) -> None:
    """Each place and kind once."""
    kind = what.partition(": ")[0]
    if any(kind in each for each in found["findings"]):
        return
    found["findings"].append(f"{_digest(content)}-{name}: {what}")
    (folder / "findings" / f"{_digest(content)}-{name}").write_bytes(content)
    print(f"finding: {what}", flush=True)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def fed(target: Target, args: argparse.Namespace) -> dict[str, Any]:
    """Feeds in processes, one after the other, until the time is over."""
    folder = args.folder.absolute()
    for name in ("corpus", "findings"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    state, began = folder / "state.json", time.monotonic()
    found: dict[str, Any] = {"cases": 0, "seconds": 0, "cpu_seconds": 0.0, "slowest_seconds": 0.0}
    found |= {"findings": [], "outcomes": {}, "seed": args.seed}
    while True:
        if state.is_file():
            found = {"cpu_seconds": 0.0} | json.loads(state.read_text())
        if found["cases"] >= args.cases or found["cpu_seconds"] >= 60 * args.minutes:
            break
        if (pid := os.fork()) == 0:
            Feeding(target, folder, found, args.seconds, args.megabytes).run(args.cases, 60 * args.minutes)
            os._exit(0)
        status = os.waitpid(pid, 0)[1]
        if status and not (folder / "current.name").is_file():
            raise SystemExit("no file to start from could be made")
        if status:
            found |= json.loads(state.read_text()) if state.is_file() else {}
            name, content = (folder / "current.name").read_text(), (folder / "current").read_bytes()
            found["cases"] += 1
            add_finding(found, folder, name, content, f"! the process ended with status {status}")
            state.write_text(json.dumps(found))
    found["seconds"] = round(found["seconds"] + time.monotonic() - began, 1)
    state.write_text(json.dumps(found))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", choices=TARGETS)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--folder", type=Path, help="state, corpus and findings")
    what.add_argument("--sum", nargs="+", type=Path, metavar="FOLDER", help="run nothing, add these up")
    parser.add_argument("--cases", type=int, default=10**9, help="in all, those of earlier runs included")
    parser.add_argument("--minutes", type=float, default=20.0, help="of CPU, in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=10.0, help="of the CPU that a case may take")
    parser.add_argument("--megabytes", type=int, default=4096, help="that a case may take")
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    found = added_up(args.sum, ("slowest_seconds", "ways")) if args.sum else fed(TARGETS[args.target], args)
    print(json.dumps(found), flush=True)
    write_record(args.record, __doc__.splitlines()[0], target=args.target, **found)
    sys.exit(bool(found["findings"]))


if __name__ == "__main__":
    main()
