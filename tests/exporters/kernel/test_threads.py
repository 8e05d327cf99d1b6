"""Threads that share a network race for nothing: under ThreadSanitizer, in a program without Python."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recycle_pipeline.exporters.kernel.build import OPTIONS, SOURCES, compiler
from recycle_pipeline.exporters.kernel.packed import packed

pytestmark = pytest.mark.usefixtures("kernels")
PROGRAM = Path(__file__).parent / "teams.c"


@pytest.mark.skipif(sys.platform != "linux", reason="the program uses POSIX threads")
def test_no_two_threads_touch_the_same_bytes_unordered(draw_block, tmp_path):
    images, steps = draw_block(np.random.default_rng(0), 20, 32, 0.3)
    network, program = tmp_path / "network", tmp_path / "teams"
    network.write_bytes(packed(images, steps, 0, len(images) - 1))
    options = [each for each in OPTIONS if each not in ("-O3", "-fvisibility=hidden")]
    command = [str(compiler()), *options, "-O1", "-fsanitize=thread", "-pthread", f"-I{SOURCES}"]
    command += [str(PROGRAM), *map(str, sorted(SOURCES.glob("*.c"))), "-o", str(program), "-lm"]
    built = subprocess.run(command, capture_output=True, text=True)
    if "tsan" in built.stderr:
        pytest.skip("the compiler has no ThreadSanitizer")
    assert built.returncode == 0, built.stderr[-2000:]
    done = subprocess.run([program, network], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr[-3000:]
    assert int(done.stdout) > 1
