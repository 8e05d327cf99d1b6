"""Threads that share a network race for nothing: under ThreadSanitizer, in a program without Python."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recycle_pipeline.exporters.kernel.build import OPTIONS, SOURCES, compiler
from recycle_pipeline.exporters.kernel.packed import Image, Window, packed
from recycle_pipeline.exporters.kernel.packed_floats import FloatConv, packed_floats

pytestmark = pytest.mark.usefixtures("kernels")
PROGRAM = Path(__file__).parent / "teams.c"


def float_network():
    """Two convolutions with ReLU, of which the second adds what is given to it."""
    rng, image = np.random.default_rng(0), Image(32, 20, 20, 0)
    window, weights = Window((3, 3), (1, 1), (1, 1, 1, 1)), rng.standard_normal((2, 32, 32, 3, 3))
    weights = np.where(rng.random(weights.shape) < 0.2, weights, 0).astype(np.float32)
    bias = np.zeros(32, np.float32)
    steps = [
        FloatConv("in", "a", window, weights[0], bias, relu=True),
        FloatConv("a", "b", window, weights[1], bias, other="in", relu=True),
    ]
    return packed_floats(dict.fromkeys(("in", "a", "b"), image), steps)


@pytest.mark.skipif(sys.platform != "linux", reason="the program uses POSIX threads")
def test_no_two_threads_touch_the_same_bytes_unordered(draw_block, tmp_path):
    images, steps = draw_block(np.random.default_rng(0), 20, 32, 0.3)
    network, program = tmp_path / "network", tmp_path / "teams"
    network.write_bytes(packed(images, steps, 0, len(images) - 1))
    floats = tmp_path / "floats"
    floats.write_bytes(float_network())
    options = [each for each in OPTIONS if each not in ("-O3", "-fvisibility=hidden")]
    command = [str(compiler()), *options, "-O0", "-fsanitize=thread", "-pthread", f"-I{SOURCES}"]
    command += [str(PROGRAM), *map(str, sorted(SOURCES.glob("*.c"))), "-o", str(program), "-lm"]
    built = subprocess.run(command, capture_output=True, text=True)
    if "tsan" in built.stderr:
        pytest.skip("the compiler has no ThreadSanitizer")
    assert built.returncode == 0, built.stderr[-2000:]
    for each in (network, floats):
        done = subprocess.run([program, each], capture_output=True, text=True)
        assert done.returncode == 0 and not done.stderr, done.stderr[-3000:]
        assert int(done.stdout) > 1
