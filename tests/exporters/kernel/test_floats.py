"""Every path of the kernels gives the float32 numbers of a reference in numpy, to rounding, for any shape."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recycle_pipeline.exporters.kernel.library import PATHS, Kernels
from recycle_pipeline.exporters.kernel.packed import Image, Window
from recycle_pipeline.exporters.kernel.packed_floats import (
    FloatConstant,
    FloatConv,
    FloatPool,
    FloatSum,
    packed_floats,
)
from recycle_pipeline.models.errors import RecycleError

pytestmark = pytest.mark.usefixtures("kernels")
THREE = Window((3, 3), (1, 1), (1, 1, 1, 1))


def windows(x, window, fill):
    """(C, P, Q, rows, columns) of an image (C, H, W)."""
    top, left, bottom, right = window.pads
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right)), constant_values=fill)
    seen = np.lib.stride_tricks.sliding_window_view(padded, window.size, (1, 2))
    return seen[:, :: window.strides[0], :: window.strides[1]]


def reference_run(images, steps, x):
    """The last image, computed in float64."""
    found = {next(iter(images)): x.astype(np.float64)}
    for step in steps:
        source = found[step.source]
        if isinstance(step, FloatConstant):
            made = step.values.astype(np.float64)
        elif isinstance(step, FloatPool):
            made = windows(source, step.window, -np.inf).max((3, 4))
        elif isinstance(step, FloatSum):
            made = source + found[step.other]
        else:
            made = np.einsum("cpqab,kcab->kpq", windows(source, step.window, 0.0), step.weights.astype(float))
            made += step.bias.reshape(-1, 1, 1) + (found[step.other] if step.other else 0.0)
        found[step.target] = np.maximum(made, 0) if getattr(step, "relu", False) else made
    return found[steps[-1].target]


def assert_near(images, steps, x, threads=(1, 2)):
    """Every path, for every image of a batch, twice: what a call leaves in its workspace is no matter."""
    expected = np.stack([reference_run(images, steps, each) for each in x])
    content, ran = packed_floats(images, steps), []
    for path in PATHS:
        try:
            opened = Kernels(content, path)
        except RecycleError as error:
            assert "this processor has no" in str(error) and path != "portable"
            continue
        with opened as kernels:
            assert kernels.dtype == np.float32 and kernels.target == expected.shape[1:]
            for count in threads:
                got = kernels.run(x, count)
                assert np.allclose(got, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max(initial=1)), (
                    path
                )
                ran.append(got)
    return ran


def drawn(rng, source, image, target, channels, window, density, ternary, **more):
    """A convolution of drawn weights, or of +-1 times a magnitude of each channel; and the image it makes."""
    shape = (channels, image.channels, *window.size)
    values = rng.choice([-1.0, 1.0], shape) * rng.uniform(0.5, 2, (channels, 1, 1, 1))
    values = values if ternary else rng.standard_normal(shape)
    weights = np.where(rng.random(shape) < density, values, 0).astype(np.float32)
    sides = [
        (side + window.pads[i] + window.pads[i + 2] - window.size[i]) // window.strides[i] + 1
        for i, side in enumerate((image.height, image.width))
    ]
    bias = rng.standard_normal(channels).astype(np.float32)
    return FloatConv(source, target, window, weights, bias, **more), Image(channels, *sides, 0)


def any_images(rng, image, count=2):
    return rng.standard_normal((count, image.channels, image.height, image.width)).astype(np.float32)


@st.composite
def cases(draw):
    sides, size = draw(st.tuples(*[st.integers(1, 40)] * 2)), draw(st.tuples(*[st.integers(1, 7)] * 2))
    pads = tuple(draw(st.integers(0, size[i % 2] - 1)) for i in range(4))
    fits = all(sides[i] + pads[i] + pads[i + 2] >= size[i] for i in (0, 1))
    strides = draw(st.tuples(*[st.integers(1, 3)] * 2))
    window = Window(size, strides, pads if fits else (size[0] - 1, size[1] - 1) * 2)
    return Image(draw(st.integers(1, 7)), *sides, 0), window, draw(st.integers(0, 10_000))


@settings(max_examples=80, deadline=None)
@given(cases(), st.sampled_from((0.0, 0.03, 0.2, 1.0)), st.booleans(), st.booleans())
def test_any_shape_padding_stride_and_mask(case, density, ternary, relu):
    image, window, seed = case
    rng = np.random.default_rng(seed)
    channels = int(rng.integers(1, 8))
    conv, made = drawn(rng, "in", image, "out", channels, window, density, ternary, relu=relu)
    assert_near({"in": image, "out": made}, [conv], any_images(rng, image))


@settings(max_examples=30, deadline=None)
@given(cases())
def test_any_pooling_of_images_whose_values_are_negative_too(case):
    image, window, seed = case
    rng = np.random.default_rng(seed)
    sides = [
        (side + window.pads[i] + window.pads[i + 2] - window.size[i]) // window.strides[i] + 1
        for i, side in enumerate((image.height, image.width))
    ]
    images = {"in": image, "out": Image(image.channels, *sides, 0)}
    assert_near(images, [FloatPool("in", "out", window)], any_images(rng, image) - 1)


def block(rng, side, channels, density=0.3):
    """Convolutions of stride 1 and 2, a shortcut, additions, sums, constants, pooling, linear layers."""
    images, steps = {"in": Image(3, side, side, 0)}, []

    def conv(source, target, window, **more):
        ternary = bool(rng.integers(2))
        step, image = drawn(rng, source, images[source], target, channels, window, density, ternary, **more)
        steps.append(step)
        images[target] = image

    def constant(target, like):
        image = images[like]
        steps.insert(0, FloatConstant("in", target, any_images(rng, image, 1)[0]))
        images[target] = image

    conv("in", "a", THREE, relu=True)
    constant("map", "a")
    conv("a", "b", THREE, other="map", relu=True)
    steps.append(FloatSum("b", "c", "a", relu=True))
    images["c"] = images["a"]
    conv("c", "d", Window((3, 3), (2, 2), (1, 1, 1, 1)))
    conv("c", "e", Window((1, 1), (2, 2), (0, 0, 0, 0)))
    conv("d", "f", THREE, other="e")
    size = (images["f"].height + 1 - 2) // 2 + 1
    steps.append(FloatPool("f", "g", Window((2, 2), (2, 2), (0, 0, 1, 1))))
    images["g"] = Image(channels, size, size, 0)
    conv("g", "h", Window((size, size), (1, 1), (0, 0, 0, 0)), relu=True)
    conv("h", "i", Window((1, 1), (1, 1), (0, 0, 0, 0)))
    names = ["in", *(step.target for step in steps)]
    return {name: images[name] for name in names}, steps


@pytest.mark.parametrize("side", (5, 8, 17, 32))
@pytest.mark.parametrize("channels", (3, 20))
def test_blocks_of_everything_on_any_number_of_threads(side, channels):
    rng = np.random.default_rng(side)
    images, steps = block(rng, side, channels)
    ran = assert_near(images, steps, any_images(rng, images["in"], 3), threads=(1, 1, 2, 3))
    for first, *others in zip(*[iter(ran)] * 4, strict=True):
        assert all(np.array_equal(first, other) for other in others)


def test_weights_of_one_magnitude_take_a_byte_or_two_each_and_others_four_more():
    rng, image = np.random.default_rng(0), Image(64, 8, 8, 0)
    sizes = {}
    for ternary in (True, False):
        conv, made = drawn(rng, "in", image, "out", 64, THREE, 0.1, ternary)
        kept = np.count_nonzero(conv.weights)
        sizes[ternary] = (len(packed_floats({"in": image, "out": made}, [conv])) - 1000) / kept
    assert sizes[True] < 2 and 4 < sizes[False] < 6


def test_numbers_that_are_not_finite_pass_through():
    image = Image(1, 4, 4, 0)
    conv = FloatConv(
        "in", "out", THREE, np.ones((1, 1, 3, 3), np.float32), np.zeros(1, np.float32), relu=True
    )
    x = np.zeros((1, 1, 4, 4), np.float32)
    x[0, 0, 0, 0] = np.nan
    with Kernels(packed_floats({"in": image, "out": image}, [conv])) as kernels:
        got = kernels.run(x)[0, 0]
    assert np.isnan(got[:2, :2]).all() and not np.isnan(got[2:]).any()


def test_infinity_below_everything_is_pooled_as_it_is():
    images = {"in": Image(1, 4, 4, 0), "out": Image(1, 2, 2, 0)}
    x = np.full((1, 1, 4, 4), -np.inf, np.float32)
    x[0, 0, 3, 3] = -1
    pool = FloatPool("in", "out", Window((2, 2), (2, 2), (0, 0, 0, 0)))
    with Kernels(packed_floats(images, [pool])) as kernels:
        assert np.array_equal(kernels.run(x)[0, 0], [[-np.inf, -np.inf], [-np.inf, -1]])


def test_images_of_8_bits_are_refused_and_workspace_and_weights_are_counted():
    image = Image(2, 4, 4, 0)
    rng = np.random.default_rng(0)
    conv, made = drawn(rng, "in", image, "out", 2, THREE, 0.5, True)
    with Kernels(packed_floats({"in": image, "out": made}, [conv])) as kernels:
        assert kernels.counts.weights == np.count_nonzero(conv.weights)
        assert kernels.counts.workspace >= 2 * 2 * 16 * 4 and kernels.times(any_images(rng, image)).shape == (
            1,
        )
        with pytest.raises(RecycleError, match=r"expected float32 \(N, \*\(2, 4, 4\)\)"):
            kernels.run(np.zeros((1, 2, 4, 4), np.uint8))
