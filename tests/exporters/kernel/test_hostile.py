"""Packed networks from strangers: refused with a reason, or harmless; and all of it under sanitizers."""

import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recycle_pipeline.exporters.kernel.build import OPTIONS, compiler
from recycle_pipeline.exporters.kernel.library import Kernels
from recycle_pipeline.exporters.kernel.packed import Addition, Constant, Conv, Image, Sum, Window, packed
from recycle_pipeline.exporters.kernel.packed_floats import (
    FloatConstant,
    FloatConv,
    FloatSum,
    packed_floats,
)
from recycle_pipeline.models.errors import CorruptArtefact
from recycle_pipeline.models.kernel_library import VARIABLE

pytestmark = pytest.mark.usefixtures("kernels")
HERE = Path(__file__).parent
HEADER, TENSOR = 6, 4  # words
STEP = HEADER + 2 * TENSOR  # where the first word of the only step is
SECOND = HEADER + 3 * TENSOR + 11 + 3  # of `sum_and_constant`: behind the first's words and 12 bytes


def one_step():
    signs = np.array([[[[1, 0, -1]] * 3]], np.int8)
    window = Window((3, 3), (1, 1), (1, 1, 1, 1))
    ones = np.ones(1, np.int32)
    conv = Conv(0, 1, window, signs, 64 * ones, ones, ones.astype(np.float32))
    return packed([Image(1, 4, 4, 3), Image(1, 4, 4, 0)], [conv], 0, 1)


def sum_and_constant():
    """What is given, 2 x 3 x 2, and a constant, added."""
    images = [Image(2, 3, 2, 5)] * 3
    one = np.float32(1)
    steps = [
        Constant(0, 1, np.arange(12, dtype=np.uint8).reshape(2, 3, 2)),
        Sum(0, 2, Addition(1, 0, True, one, one, one)),
    ]
    return packed(images, steps, 0, 2)


def float_step(ternary):
    """One convolution of float32 numbers: of one magnitude, or of weights of their own."""
    weights = np.array([[[[1, 0, -1]] * 3]], np.float32) * (1 if ternary else np.float32([1, 2, 3]))
    window = Window((3, 3), (1, 1), (1, 1, 1, 1))
    image = Image(1, 4, 4, 0)
    conv = FloatConv("in", "out", window, weights, np.ones(1, np.float32), relu=True)
    return packed_floats({"in": image, "out": image}, [conv])


def float_sum_and_constant():
    image = Image(2, 3, 2, 0)
    steps = [FloatConstant("in", "map", np.ones((2, 3, 2), np.float32)), FloatSum("in", "out", "map")]
    return packed_floats({"in": image, "map": image, "out": image}, steps)


def with_word(content, place, value):
    return content[: 4 * place] + struct.pack("<I", value) + content[4 * place + 4 :]


def why(content):
    with pytest.raises(
        CorruptArtefact, match=r"the packed network is damaged: .*\. Export it again\.$"
    ) as error:
        Kernels(content)
    return str(error.value)


def test_what_is_sound_is_read():
    with Kernels(one_step()) as kernels:
        assert kernels.counts.weights == 6


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (0, 1, "it is no packed network"),
        (1, 3, "its version is neither 1 nor 2"),
        (1, 2, "a zero point is 3, expected 0 to 0"),
        (2, 1, "the number of tensors is 1"),
        (2, 1 << 31, "the number of tensors is 2147483648"),
        (3, 0, "the number of steps is 0"),
        (3, 2, "each step makes one tensor"),
        (4, 2, "the input is 2"),
        (5, 9, "the output is 9"),
        (5, 0, "its output is its input"),
        (HEADER, 0, "a number of channels is 0"),
        (HEADER, 2, "step 0: its window"),
        (HEADER + 1, 5000, "a height is 5000"),
        (HEADER + 3, 256, "a zero point is 256"),
        (STEP, 5, "a kind of step is 5"),
        (STEP, 3, "step 0: its window is not 1 x 1"),
        (STEP + 1, 1, "step 0 reads what it makes"),
        (STEP + 1, 2, "a tensor is 2"),
        (STEP + 3, 32, "a window's height is 32"),
        (STEP + 5, 0, "a stride is 0"),
        (STEP + 6, 9, "a stride is 9"),
        (STEP + 7, 3, "padding is 3"),
        (STEP + 9, 0, "its window does not give 4 x 4"),
        (STEP + 11, 1, "what is added is not made before"),
        (STEP + 12, 300, "a zero point is 300"),
        (STEP + 13, 2, "the operand is 2"),
        (STEP + 14, 0x7FC00000, "a ratio is no finite number"),
        (STEP + 15, 0x7F000000, "ratios are too large"),
        (STEP + 17, 0x7FFFFFFF, "channel 0 may leave 32 bits"),
        (STEP + 18, 0xFF800000, "a scale is no finite number"),
        (STEP + 19, 0, "a magnitude is 0"),
        (STEP + 19, 129, "a magnitude is 129"),
        (STEP + 20, 0xFFFFFFFF, "the taps end too early"),
        (STEP + 20, 6, "the taps end too early"),
        (STEP + 20, 8, "bytes are left after the taps"),
        (STEP + 21, 0x8080800A, "channel 0 has 10 taps of 9"),
        (STEP + 21, 0xFFFFFFFF, "a tap takes too many bytes"),
        (STEP + 21, 0x00007F01, "channel 0 has tap 63 of 9"),
    ],
)
def test_a_number_that_cannot_be_is_refused_with_its_reason(place, value, reason):
    content = one_step()
    if "10 taps" in reason:
        content = content[: 4 * place] + bytes([10]) + content[4 * place + 1 :]
    else:
        content = with_word(content, place, value)
    if reason == "step 0: its window":  # another channel is there, and has no taps
        content = one_step()
        content = with_word(content, HEADER + TENSOR + 1, 5)
    assert reason in why(content)


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (HEADER + 3 * TENSOR + 3, 2, "step 0: its window is not 1 x 1"),
        (HEADER + TENSOR + 1, 2, "bytes are left|a kind of step|it ends too early|expected"),
        (SECOND + 4, 2, "step 1: its window is not 1 x 1"),
        (SECOND + 7, 1, "padding is 1"),
        (SECOND + 11, 0xFFFFFFFF, "a sum has nothing that is added"),
        (SECOND + 11, 2, "what is added is not made before"),
        (SECOND + 14, 0x7FC00000, "a ratio is no finite number"),
        (SECOND, 2, "bytes are left at its end"),
        (HEADER + 2 * TENSOR, 3, "what is added has another shape|a sum does not change channels"),
    ],
)
def test_sums_and_constants_that_cannot_be_are_refused(place, value, reason):
    assert re.search(reason, why(with_word(sum_and_constant(), place, value)))


@pytest.mark.parametrize(
    ("ternary", "place", "value", "reason"),
    [
        (True, HEADER + 3, 1, "a zero point is 1, expected 0 to 0"),
        (True, STEP + 11, 1, "what is added is not made before"),
        (True, STEP + 12, 2, "the relu is 2"),
        (True, STEP + 13, 0x7FC00000, "a bias is no finite number"),
        (True, STEP + 14, 2, "whether taps have weights is 2"),
        (True, STEP + 15, 0x7F800000, "a magnitude is no finite number"),
        (True, STEP + 16, 0xFFFFFFFF, "the taps end too early"),
        (True, STEP + 14, 1, "the taps end too early"),
        (False, STEP + 14, 0, "bytes are left|the taps end too early"),
        (False, STEP + 15, 6, "the taps end too early"),
        (False, STEP + 18, 0xFFFFFFFF, "a weight is no finite number"),
    ],
)
def test_float32_numbers_that_cannot_be_are_refused(ternary, place, value, reason):
    assert re.search(reason, why(with_word(float_step(ternary), place, value)))


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (SECOND - 14 + 11, 0x7FC00000, "a number is no finite number"),
        (SECOND + 9 + 11, 0xFFFFFFFF, "a sum has nothing that is added"),
        (SECOND + 9 + 12, 2, "the relu is 2"),
        (HEADER + TENSOR, 1 << 14, "it ends too early"),
    ],
)
def test_float32_sums_and_constants_that_cannot_be_are_refused(place, value, reason):
    assert reason in why(with_word(float_sum_and_constant(), place, value))


@pytest.mark.parametrize(
    "make", [float_sum_and_constant, lambda: float_step(True), lambda: float_step(False)]
)
def test_every_cut_of_float32_networks_is_refused(make):
    content = make()
    with Kernels(content) as kernels:
        assert kernels.dtype == np.float32
    for length in range(len(content)):
        why(content[:length])
    assert "bytes are left at its end" in why(content + bytes(4))


def test_every_cut_is_refused_and_so_is_every_byte_too_many():
    content = sum_and_constant()
    for length in range(len(content)):
        why(content[:length])
    content = one_step()
    for length in range(len(content)):
        why(content[:length])
    assert "bytes are left at its end" in why(content + bytes(4))


# Not optimised: compiling takes most of the time.
SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O0")


@pytest.mark.skipif(sys.platform != "linux", reason="the sanitizers are preloaded as Linux does it")
def test_nothing_is_read_or_written_out_of_bounds(build_kernels, import_path):
    """Random networks, damaged ones and threads in a build that stops at the first fault."""
    library = build_kernels([*(each for each in OPTIONS if each != "-O3"), *SANITIZED])
    found = [runtime_of(name) for name in ("libasan.so", "libubsan.so")]
    if None in found:
        pytest.skip("the compiler has no AddressSanitizer and UndefinedBehaviorSanitizer")
    environment = import_path | {
        VARIABLE: str(library),
        "LD_PRELOAD": " ".join(map(str, found)),
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",  # Python's own are no leaks of ours
    }
    done = subprocess.run(
        [sys.executable, str(HERE / "sanitized.py")], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith("refused ")


def runtime_of(name):
    found = subprocess.run([str(compiler()), f"-print-file-name={name}"], capture_output=True, text=True)
    path = Path(found.stdout.strip())
    return path if path.is_absolute() and path.exists() else None
