#!/usr/bin/env python3
"""Feeds the ticket's reader with changed tickets, guided by what of its code they reach.

    python3.12 benchmarks/ticket_fuzz.py --folder FOLDER --cases 2000000 --record benchmarks/records/NAME.json
    python3.12 benchmarks/ticket_fuzz.py --folder FOLDER --cases 2000000 --processes 16 --record ...
    python3.12 benchmarks/ticket_fuzz.py --folder FOLDER --minutes 5
    python3.12 benchmarks/ticket_fuzz.py --sum FOLDER FOLDER --record benchmarks/records/NAME.json

Needs numpy and safetensors; with Python 3.12 or later it is several times as fast. Starts from small tickets
of every version. A case changes bytes of the file, or fields of the header or the content of a part with its
digests and CRCs put in order again, so that it gets past them. Cases that reach a line, or a way of a
branch, that none reached before are changed further. A case must be refused by a TicketFault, or be read;
what is read must pass or fail its digests, be the same with and without comparing them, and have sizes.
Else, or if it takes more than `--seconds` or `--megabytes`, it is a finding, and its file is kept.

The folder holds state, corpus and findings: with the same folder a campaign goes on. The record is written at
the end; `--sum` makes that of a campaign that was stopped. Others, of other seeds,
may run beside it in folders of their own; `--sum` adds up what they found. `--processes` shares the cases out
over as many campaigns, of seeds and in folders of their own below FOLDER, and adds them up.
Seconds of the slowest case are of the CPU.
Memory is measured by tracemalloc in every 50th case, and of all cases it is at most what the process grew
beyond its start; a limit of its address space keeps all cases below `--megabytes`. tracemalloc itself keeps
about 3 kB each time that it is started and stopped here, whatever is measured: 130 MB in two million cases.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from common.record import write_record
from fuzzing.campaign import Campaign
from fuzzing.sums import added_up

LARGEST = ("slowest_seconds", "largest_megabytes", "process_grew_megabytes", "lines_and_branches")


def together(args: argparse.Namespace) -> bool:
    """Runs campaigns in processes of their own, adds them up; whether all were clean."""
    folders = [args.folder / f"seed-{args.seed + number}" for number in range(args.processes)]
    running = []
    for number, folder in enumerate(folders):
        own = {"folder": folder, "seed": args.seed + number, "cases": -(-args.cases // args.processes)}
        own |= {"minutes": args.minutes, "seconds": args.seconds, "megabytes": args.megabytes}
        said = [text for name, value in own.items() for text in (f"--{name}", str(value))]
        command = [sys.executable, __file__, *said]
        running.append(subprocess.Popen(command, env={"OMP_NUM_THREADS": "1", **os.environ}))
    codes = [process.wait() for process in running]
    write_record(args.record, __doc__.splitlines()[0], **added_up(folders, LARGEST), exit_codes=codes)
    return not any(codes)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--folder", type=Path, help="state, corpus and findings")
    what.add_argument("--sum", nargs="+", type=Path, metavar="FOLDER", help="run nothing, add these up")
    parser.add_argument("--cases", type=int, default=10**12, help="in all, those of earlier runs included")
    parser.add_argument("--minutes", type=float, default=10**6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0, help="that a case may take")
    parser.add_argument("--megabytes", type=int, default=1024, help="that a case may take")
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    if args.sum:
        write_record(args.record, __doc__.splitlines()[0], **added_up(args.sum, LARGEST))
        return
    if args.processes > 1:
        sys.exit(not together(args))
    campaign = Campaign(args.folder, args.seed, args.seconds, args.megabytes)
    campaign.run(args.cases, args.minutes, lambda found: print(json.dumps(found), flush=True))
    campaign.lift()
    write_record(args.record, __doc__.splitlines()[0], **campaign.found)
    sys.exit(bool(campaign.found["findings"]))


if __name__ == "__main__":
    main()
