"""Freed memory that a process keeps: what it allocates again is there, unless a user says how to allocate."""

import json
import subprocess
import sys

import pytest

from recycle_pipeline.pipeline import freed_memory
from recycle_pipeline.pipeline.freed_memory import SAY_HOW, keep_freed_memory

BLOCKS, BYTES, ROUNDS = 12, 9_437_184, 20  # gradients of ResNet-18's large layers, steps
PAGES = BLOCKS * BYTES // 4096
# Frees all and allocates again, as a search's steps do; prints whether memory is kept, and pages asked for.
STEPS = f"""
import json, resource, numpy as np
from recycle_pipeline.pipeline.freed_memory import keep_freed_memory
def step():
    for block in [np.empty({BYTES}, np.uint8) for _ in range({BLOCKS})]:
        block[:] = 1
kept = keep_freed_memory()
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({ROUNDS}):
    step()
print(json.dumps([kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before]))
"""


def test_what_was_freed_is_not_asked_for_again(import_path):
    line = [sys.executable, "-c", STEPS]
    done = subprocess.run(line, env=import_path, capture_output=True, text=True, check=True)
    kept, faults = json.loads(done.stdout)
    if not kept:
        pytest.skip("no glibc, or an environment that says how to allocate")
    assert faults < PAGES  # in twenty steps not what one step takes


@pytest.mark.parametrize("name", SAY_HOW)
def test_a_users_word_holds(name):
    assert not keep_freed_memory({name: "1"})


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(freed_memory.sys, "platform", "darwin")
    assert not keep_freed_memory({})


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(freed_memory.ctypes, "CDLL", lambda name: object())
    assert not keep_freed_memory({})
