"""Short forms of benchmarks/ticket_fuzz.py and reader_fuzz.py: that they run, and find nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize(
    ("campaign", "cases"),
    [
        (("ticket_fuzz.py",), 250),
        (("reader_fuzz.py", "config"), 100),
        (("reader_fuzz.py", "run"), 2),
        (("reader_fuzz.py", "model"), 4),
        (("reader_fuzz.py", "state"), 100),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else str(value),
)
def test_damaged_input_is_refused_in_time_and_with_an_error_of_its_own(
    tmp_path, import_path, campaign, cases
):
    script, *target = campaign
    record = tmp_path / "record.json"
    line = [sys.executable, str(BENCHMARKS / script), *target, "--folder", str(tmp_path / "work")]
    line += ["--cases", str(cases), "--record", str(record)]
    done = subprocess.run(line, env=import_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(record.read_text())
    assert found["findings"] == []
    assert found["cases"] >= cases
    refused = sum(count for outcome, count in found["outcomes"].items() if outcome != "read")
    assert refused > cases / 4, "most damage is noticed"
