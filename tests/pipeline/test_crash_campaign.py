"""A short form of benchmarks/crash_campaign.py: kills of each kind, resumed to the same files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "crash_campaign.py"
NUMBERS = ("--operations", "2", "--torn", "1", "--moments", "1", "--signals", "1")


def test_killed_anywhere_the_same_command_ends_in_the_same_files_and_leaves_nothing_else(
    tmp_path, import_path
):
    record, scenarios = tmp_path / "record.json", ("--scenario", "run", "--scenario", "pack a file")
    done = campaign(tmp_path, import_path, *scenarios, *NUMBERS, "--record", str(record))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(record.read_text())
    assert found["cases"] == 10 and found["cases_that_failed"] == 0
    assert found["killed"] >= 6  # one within a write may come too late, or a moment after the end


def test_on_a_disk_that_writes_16_kB_a_second_it_is_no_other(tmp_path, import_path):
    numbers = ("--operations", "1", "--torn", "0", "--moments", "0", "--signals", "1")
    done = campaign(tmp_path, import_path, "--scenario", "pack a file", "--slow-disk", "16", *numbers)
    if "no slow disk: " in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0 and '"failures": []' in done.stdout, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["cases"] == 2


def campaign(work, environment, *options):
    line = [sys.executable, str(SCRIPT), "--work", str(work), *options]
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=600)
