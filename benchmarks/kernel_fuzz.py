#!/usr/bin/env python3
r"""Damaged packed networks, opened and run by a build of the kernels with sanitizers: a long campaign.

    PYTHONPATH=.dev python benchmarks/kernel_fuzz.py --cases 100000 --record FILE

What the test does for one seed (tests/exporters/kernel/sanitized.py), for as many as it takes: 39 sound
networks of every alignment each, 16 of them of float32, `--damaged` damaged ones of each, on every path that
the processor has, by one thread or two. A process of its own has each seed; AddressSanitizer or
UndefinedBehaviorSanitizer ends it at the first fault, which is then a finding, with its seed and what was
said.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from common.record import write_record

from recycle_pipeline.exporters.kernel.build import OPTIONS, build, compiler
from recycle_pipeline.models.kernel_library import VARIABLE

PROGRAM = Path(__file__).parent.parent / "tests" / "exporters" / "kernel" / "sanitized.py"
SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1")


def environment(library: Path) -> dict[str, str]:
    names = ("libasan.so", "libubsan.so")
    found = [
        subprocess.check_output([str(compiler()), f"-print-file-name={name}"], text=True) for name in names
    ]
    return os.environ | {
        VARIABLE: str(library),
        "LD_PRELOAD": " ".join(each.strip() for each in found),
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",  # Python's own are no leaks of ours
    }


def campaign(args: argparse.Namespace) -> None:
    """Until so many cases were there; the record is written after each seed."""
    found: dict[str, Any] = {"refused": 0, "run": 0, "seeds": [args.seed, args.seed], "findings": []}
    with tempfile.TemporaryDirectory() as folder:
        library = build(
            Path(folder) / "kernels.so", [*(each for each in OPTIONS if each != "-O3"), *SANITIZED]
        )
        surroundings = environment(library)
        while found["refused"] + found["run"] < args.cases and len(found["findings"]) < 10:
            seed = found["seeds"][1]
            command = [sys.executable, str(PROGRAM), str(seed), str(args.damaged)]
            done = subprocess.run(command, env=surroundings, capture_output=True, text=True)
            words = done.stdout.replace(",", "").split()
            if done.returncode or len(words) != 4:
                found["findings"].append({"seed": seed, "said": done.stderr[-3000:]})
            else:
                found["refused"] += int(words[1])
                found["run"] += int(words[3])
            found["seeds"][1] = seed + 1
            print(found["seeds"][1], found["refused"], found["run"], len(found["findings"]), flush=True)
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            found["cpu_seconds"] = used.ru_utime + used.ru_stime
            write_record(args.record, __doc__.splitlines()[0], damaged=args.damaged, **found)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--damaged", type=int, default=200, help="of each network and seed [200]")
    parser.add_argument("--seed", type=int, default=1, help="the first [1]")
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    campaign(args)


if __name__ == "__main__":
    main()
