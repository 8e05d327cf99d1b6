"""How torch's threads wait is said before torch is there: awake on free cores, else asleep, or as told."""

import os
import subprocess
import sys

import pytest

from recycle_pipeline.pipeline.waiting import ASLEEP, SAY_HOW, wait_suitably

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
KNOWN = "from recycle_pipeline.pipeline import waiting; waiting._cores_are_free = lambda *_: {}\n"


@pytest.fixture
def said_by(tmp_path):
    """The environment that a machine with so many runnable threads gives, and with that quota."""

    def say(runnable, quota=None, environment=()):
        loads, limit = tmp_path / "loadavg", tmp_path / "cpu.max"
        if runnable is not None:
            loads.write_text(f"0.20 0.18 0.12 {runnable}/80 11206\n")
        if quota is not None:
            limit.write_text(f"{quota} 100000\n")
        found = dict(environment)
        wait_suitably(found, loads, [limit])
        return found

    return say


@pytest.mark.parametrize(
    ("free", "given", "said"), [(False, None, "PASSIVE"), (False, "ACTIVE", "ACTIVE"), (True, None, None)]
)
@pytest.mark.parametrize("way", WAYS)
def test_it_is_said_before_torch_is_imported(import_path, tmp_path, way, free, given, said):
    environment = {
        name: value for name, value in {**os.environ, **import_path}.items() if name not in SAY_HOW
    }
    if given:
        environment["OMP_WAIT_POLICY"] = given
    line = [sys.executable, "-c", FINDER + KNOWN.format(free) + WAYS[way], "search", "--arch", "conv2"]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
    assert done.stdout == f"torch finds {said}\n", done.stderr


@pytest.mark.parametrize("name", SAY_HOW)
def test_what_a_user_says_holds(said_by, name):
    assert said_by(9, environment={name: "7"}) == {name: "7"}


def test_on_free_cores_the_library_has_its_way(said_by):
    """One runnable thread is the one that looks."""
    assert said_by(1) == said_by(1, quota="max") == said_by(1, quota="-1") == {}


@pytest.mark.parametrize(
    ("runnable", "quota"),
    [(2, None), (9999, "max"), (1, "200000"), (0, None), (None, None), ("many", None)],
    ids=["one core is taken", "all are", "a quota", "never counted", "not known", "not read"],
)
def test_elsewhere_threads_sleep(said_by, runnable, quota):
    assert said_by(runnable, quota, {"OMP_NUM_THREADS": "2"}) == {"OMP_NUM_THREADS": "2"} | ASLEEP


def test_a_container_may_have_no_such_file(tmp_path):
    found = {}
    wait_suitably(found, tmp_path / "none", [tmp_path / "none"])
    assert found == ASLEEP
