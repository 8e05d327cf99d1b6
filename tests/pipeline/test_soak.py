"""A short form of benchmarks/soak.py: runs in one process leave no memory, open file, thread or folder."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "soak.py"

# Bytes in use by malloc. They are 130,000 if torch keeps what it exports (exporters/onnx/kept_traces.py);
# some 30,000 in the first runs are tables of the ticket's coder, of which 512 of a kind are kept.
MOST_A_RUN = 80_000
MOST_BLOCKS_A_RUN = (
    1_000  # of Python's allocator; some 100, and 1,500 objects more if torch keeps what it exports
)


def test_runs_in_one_process_leave_no_memory_in_use_no_open_file_and_no_thread(tmp_path, import_path):
    record = tmp_path / "record.json"
    line = [sys.executable, str(SCRIPT), "--runs", "6", "--inferences", "200", "--record", str(record)]
    done = subprocess.run(line, env=import_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(record.read_text())
    for name in ("open_files", "threads", "python_threads"):
        assert found["growth"][name]["last"] <= found["states"][1][name], (name, found["states"])
    assert found["growth"]["in_use_bytes"]["per_run"] < MOST_A_RUN, found["states"]
    assert found["growth"]["python_blocks"]["per_run"] < MOST_BLOCKS_A_RUN, found["states"]
    assert found["left_in_temporary_folder"] == 0
