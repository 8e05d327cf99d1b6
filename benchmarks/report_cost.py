#!/usr/bin/env python3
"""What report.html costs at the end of a run: CPU seconds and bytes, each time in a fresh process.

python benchmarks/report_cost.py --record benchmarks/records/NAME.json runs/mine runs/third

What a run has imported by then, torch among it, is imported before the clock starts; matplotlib and Jinja are
not. CPU seconds are of the process and its threads, so that other work on the cores counts little.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from common.record import write_record

CODE = """
import json, sys, time
import torch, onnxruntime, sklearn
import recycle_pipeline.pipeline.runner
from pathlib import Path
from recycle_pipeline.pipeline.report.write import report_text

def cost():
    cpu, wall = time.process_time(), time.perf_counter()
    page = report_text([Path(sys.argv[1])], "html")
    return {"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.perf_counter() - wall,
            "bytes": len(page.encode())}

print(json.dumps({"first": cost(), "again": cost()}))
"""


def cost(folder: Path) -> dict[str, Any]:
    """Of the first page in a process, and of one more."""
    links = Path(__file__).parent.parent / ".dev"
    environment = {**os.environ, "PYTHONPATH": f"{links.resolve()}:{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-c", CODE, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--record", type=Path, required=True)
    args = parser.parse_args()
    rows = []
    for folder in args.folders:
        found = [cost(folder) for _ in range(args.repeat)]
        row: dict[str, Any] = {"run": folder.name, "n": len(found), "bytes": found[0]["first"]["bytes"]}
        for which in ("first", "again"):
            seconds = [each[which]["cpu_seconds"] for each in found]
            row[f"{which}_cpu_seconds"] = [round(value, 3) for value in sorted(seconds)]
        rows.append(row)
        first, again = (statistics.median(row[f"{which}_cpu_seconds"]) for which in ("first", "again"))
        print(
            f"{folder.name}: {row['bytes']:,} bytes, {first:.2f} s of CPU, {again:.2f} s for one more",
            flush=True,
        )
    what = "report.html of finished runs, made in a fresh process that has imported what a run imports"
    write_record(args.record, what, rows=rows)


if __name__ == "__main__":
    main()
