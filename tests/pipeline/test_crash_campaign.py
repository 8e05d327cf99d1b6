"""A short form of benchmarks/crash_campaign.py: kills of each kind, resumed to the same files."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "crash_campaign.py"
NUMBERS = ("--operations", "4", "--torn", "1", "--moments", "1", "--signals", "1")


def test_killed_anywhere_the_same_command_ends_in_the_same_files_and_leaves_nothing_else(
    tmp_path, import_path
):
    record, scenarios = tmp_path / "record.json", ("--scenario", "run", "--scenario", "pack a file")
    line = [sys.executable, str(SCRIPT), "--work", str(tmp_path), *scenarios, *NUMBERS]
    line += ["--record", str(record)]
    done = subprocess.run(line, env=import_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(record.read_text())
    assert found["cases"] == 14 and found["cases_that_failed"] == 0
    assert found["killed"] >= 10  # one within a write may come too late, or a moment after the end
