"""Commands have torch's threads wait asleep, which is said before torch is there, unless a user says how."""

import os
import subprocess
import sys

import pytest

from recycle_pipeline.pipeline.waiting import SAY_HOW, wait_asleep

# What torch finds when it is first imported: printed by a module that is found in its place.
FINDER = """
import os, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print("torch finds", os.environ.get("OMP_WAIT_POLICY"), flush=True)
            os._exit(0)
sys.meta_path.insert(0, Finder())
"""
WAYS = {
    "the command": "from recycle_pipeline.pipeline.cli import main; main(sys.argv[1:])",
    "python -m": "import runpy; runpy.run_module('recycle_pipeline.pipeline', run_name='__main__')",
}


@pytest.mark.parametrize("given", [None, "ACTIVE"])
@pytest.mark.parametrize("way", WAYS)
def test_it_is_said_before_torch_is_imported(import_path, tmp_path, way, given):
    environment = {
        name: value for name, value in {**os.environ, **import_path}.items() if name not in SAY_HOW
    }
    if given:
        environment["OMP_WAIT_POLICY"] = given
    line = [sys.executable, "-c", FINDER + WAYS[way], "search", "--arch", "conv2"]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
    assert done.stdout == f"torch finds {given or 'PASSIVE'}\n", done.stderr


@pytest.mark.parametrize("name", SAY_HOW)
def test_what_a_user_says_holds(name):
    environment = {name: "7"}
    wait_asleep(environment)
    assert environment == {name: "7"}


def test_where_nobody_says_anything_threads_soon_sleep():
    environment = {"OMP_NUM_THREADS": "2"}
    wait_asleep(environment)
    said = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}
    assert environment == {"OMP_NUM_THREADS": "2"} | said
