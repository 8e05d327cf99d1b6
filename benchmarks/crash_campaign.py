#!/usr/bin/env python3
"""Kills small runs at every file operation, within writes and at random moments, resumes them and compares.

    python benchmarks/crash_campaign.py --work FOLDER --record benchmarks/records/NAME.json
    python benchmarks/crash_campaign.py --work FOLDER --scenario run --operations 20 --torn 5 --moments 5
    python benchmarks/crash_campaign.py --work FOLDER --scenario run --slow-disk 64 --operations 12
    python benchmarks/crash_campaign.py --work FOLDER --share 1/12 --record share-1.json
    python benchmarks/crash_campaign.py --sum share-*.json --record benchmarks/records/NAME.json

A scenario is a command and what lies there before it (`crashing/scenarios.py`): a whole run from nothing,
another run in its place, other forms of a finished run, its stages once more, a large folder of images, a
state dict that is packed. A case forks a process that has all imports, kills it, looks for half-written
files under final names, runs the same command again, looks whether it redid a finished stage, and compares
all files with those of a command that nobody disturbed: to the bit, times aside, and no other file may be
left, temporary folder and cache included. Kills are SIGKILL before a file operation (all of them by
default), SIGXFSZ within a write, and SIGKILL once to three times at random moments; and SIGINT or SIGTERM,
which must end with exit code 130 or 143. Processes beside each other may run a share of the cases each.
`--slow-disk` has all files on one that writes so many kB a second, as a busy network's does (root alone).
"""

import argparse
import contextlib
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from common.record import write_record
from crashing.campaign import Campaign, as_line, children_seconds, kills_of
from crashing.imports import command, with_imports
from crashing.scenarios import SCENARIOS, Scenario
from crashing.slow_disk import slow_disk
from crashing.sums import added_up

KINDS = ("operations", "torn", "moments", "signals")


def done(name: str, scenario: Scenario, work: Path, args: argparse.Namespace) -> dict[str, Any]:
    """All cases of a scenario that are of this share."""
    campaign = Campaign(name, scenario, work, command)
    luck = random.Random(f"{args.seed} {name}")
    first, shares = args.share
    found: dict[str, Any] = {"operations": len(campaign.operations), "seconds_whole": campaign.seconds}
    found |= {"cases": 0, "killed": 0, "by_kind": {}, "failures": []}
    for kind in KINDS:
        cases = kills_of(campaign, kind, getattr(args, kind), luck)[first - 1 :: shares]
        for kills in cases:
            result = campaign.case(kills)
            found["cases"] += 1
            found["killed"] += result["killed"]
            if result["wrong"]:
                at = "; ".join(kill.described() for kill in kills)
                what = campaign.operations[kills[0].operation - 1] if kills[0].operation else ""
                found["failures"].append({"kill": at, "before": what, "wrong": result["wrong"]})
                print(as_line({"scenario": name, **found["failures"][-1]}), flush=True)
        found["by_kind"][kind] = len(cases)
        if kind == "signals":
            found["slowest_end_seconds"] = round(campaign.slowest_end, 2)
        campaign.slowest_end = 0.0
    return found


def share(text: str) -> list[int]:
    """Of `2/12`, the second of twelve."""
    first, _, shares = text.partition("/")
    if not (first.isdecimal() and shares.isdecimal() and 1 <= int(first) <= int(shares)):
        raise argparse.ArgumentTypeError(f"{text} is no share, expected one such as 2/12")
    return [int(first), int(shares)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, help="a folder for the cases; a temporary one by default")
    parser.add_argument("--scenario", action="append", choices=SCENARIOS)
    parser.add_argument("--operations", type=int, default=0, help="of each scenario; 0 for every one")
    parser.add_argument("--torn", type=int, default=12)
    parser.add_argument("--moments", type=int, default=12)
    parser.add_argument("--signals", type=int, default=12)
    parser.add_argument("--slow-disk", type=int, metavar="KB", help="a second that it writes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", type=share, default=[1, 1], help="of the cases: 2/12, second of twelve")
    parser.add_argument("--sum", nargs="+", type=Path, metavar="RECORD", help="run nothing, add shares up")
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    if args.sum:
        write_record(args.record, __doc__.splitlines()[0], **added_up(args.sum))
        return
    began, found = time.monotonic(), {}
    if args.work:
        args.work.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=args.work, prefix="crashes-") as scratch,
        contextlib.ExitStack() as disks,
    ):
        work = Path(scratch).resolve()
        with_imports(work, set(args.scenario or SCENARIOS))
        if args.slow_disk:
            work = disks.enter_context(slow_disk(work, args.slow_disk * 1000))
        for name in args.scenario or SCENARIOS:
            found[name] = done(name, SCENARIOS[name], work / name.replace(" ", "-"), args)
            print(as_line({"scenario": name, **found[name]}), flush=True)
            sums: dict[str, Any] = {
                key: sum(each[key] for each in found.values()) for key in ("cases", "killed")
            }
            failures = sum(len(each["failures"]) for each in found.values())
            sums |= {"cases_that_failed": failures, "seconds": round(time.monotonic() - began, 1)}
            sums |= {"cpu_seconds": round(children_seconds(), 1), "seed": args.seed}
            sums |= {"share": args.share, "kilobytes_a_second": args.slow_disk, "scenarios": found}
            write_record(args.record, __doc__.splitlines()[0], **sums)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
