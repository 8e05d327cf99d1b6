"""Small networks for the kernels, drawn at random and computed in numpy."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from recycle_pipeline.exporters.kernel.packed import (
    Addition,
    Constant,
    Conv,
    Image,
    MaxPool,
    Step,
    Sum,
    Window,
)


def windows(x, window: Window, fill: int):
    """(C, P, Q, rows, columns) of an image (C, H, W), padding being `fill`."""
    top, left, bottom, right = window.pads
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right)), constant_values=fill)
    found = np.lib.stride_tricks.sliding_window_view(padded, window.size, (1, 2))
    return found[:, :: window.strides[0], :: window.strides[1]]


def saturated(values, zero: int):
    return np.clip(np.rint(values.astype(np.float64)) + zero, 0, 255).astype(np.uint8)


def fused(a, b, c):
    """float32(a b + c), rounded once: by fractions where float64 could round it twice."""
    exact = a.astype(np.float64) * np.float64(b)  # 8 bits times 24: nothing is lost
    rough = (exact + c.astype(np.float64)).astype(np.float32)
    near = np.nextafter(rough, np.float32(np.inf)), np.nextafter(rough, np.float32(-np.inf))
    for at in np.ndindex(rough.shape):
        true = Fraction(float(exact[at])) + Fraction(float(c[at]))
        options = sorted({float(rough[at]), float(near[0][at]), float(near[1][at])})
        # Of two that are as near, float64 lost nothing, and its rounding to even stands.
        best = min(options, key=lambda each: (abs(Fraction(each) - true), each != float(rough[at])))
        rough[at] = best
    return rough


def convolved(x, conv: Conv, images: list[Image], other=None):
    zero = images[conv.source].zero
    seen = windows(x.astype(np.int64) - zero, conv.window, 0)
    weights = conv.signs.astype(np.int64) * conv.magnitude.reshape(-1, 1, 1, 1)
    sums = np.einsum("cpqab,kcab->kpq", seen, weights) + conv.bias.reshape(-1, 1, 1)
    assert np.abs(sums).max(initial=0) < 2**31
    values = sums.astype(np.int32).astype(np.float32) * conv.scale.reshape(-1, 1, 1)
    added: Addition | None = conv.addition
    if added is None:
        return saturated(values, images[conv.target].zero)
    own = saturated(values, added.zero).astype(np.float32)
    return summed(own, other, added)


def summed(own, other, added: Addition):
    own, more = own.astype(np.float32), other.astype(np.float32)
    fixed = np.full(own.shape, added.fixed, np.float32)
    if added.first:
        result = fused(own, added.own_ratio, fused(more, added.other_ratio, fixed))
    else:
        result = fused(more, added.other_ratio, fused(own, added.own_ratio, fixed))
    return saturated(result, 0)


def reference_run(images: list[Image], steps: list[Step], x):
    """All images of a network, of one (C, H, W) that is given."""
    found = {0: x}
    for step in steps:
        source = found[step.source]
        if isinstance(step, MaxPool):
            found[step.target] = windows(source, step.window, 0).max((3, 4))
        elif isinstance(step, Constant):
            found[step.target] = step.values
        elif isinstance(step, Sum):
            found[step.target] = summed(source, found[step.addition.other], step.addition)
        else:
            other = found[step.addition.other] if step.addition else None
            found[step.target] = convolved(source, step, images, other)
    return found


@pytest.fixture(scope="session")
def reference() -> Callable[..., dict[int, np.ndarray]]:
    return reference_run


def drawn_conv(
    rng, source: Image, channels: int, window: Window, density: float, numbers=(0, 1), addition=None
):
    """A convolution whose results spread over 0 to 255, its image; `density` of the weights is kept."""
    shape = (channels, source.channels, *window.size)
    signs = np.where(rng.random(shape) < density, rng.choice([-1, 1], shape), 0).astype(np.int8)
    sides = [
        (side + window.pads[i] + window.pads[i + 2] - window.size[i]) // window.strides[i] + 1
        for i, side in enumerate((source.height, source.width))
    ]
    magnitude = rng.integers(1, 129, channels).astype(np.int32)
    bias = rng.integers(-20_000, 20_000, channels).astype(np.int32)
    spread = 100 * magnitude * np.sqrt(1 + np.abs(signs).reshape(channels, -1).sum(1)) + 10_000
    scale = (rng.uniform(0.3, 1.5, channels) * 120 / spread).astype(np.float32)
    image = Image(channels, *sides, int(rng.integers(0, 256)))
    return Conv(*numbers, window, signs, magnitude, bias, scale, addition), image


@pytest.fixture(scope="session")
def draw_conv() -> Callable[..., tuple[Conv, Image]]:
    return drawn_conv


SIDES = ("channels", "height", "width")


def block(rng, side: int = 9, channels: int = 5, density: float = 0.3):
    """Convolutions of stride 1 and 2, a shortcut, additions and sums in either order, constants, pooling."""
    three, two = Window((3, 3), (1, 1), (1, 1, 1, 1)), Window((3, 3), (2, 2), (1, 1, 1, 1))
    images = [Image(3, side, side, int(rng.integers(0, 256)))]
    steps = []

    def add(source, window, more=None):
        conv, image = drawn_conv(
            rng, images[source], channels, window, density, (source, len(images)), addition=more
        )
        steps.append(conv)
        images.append(image)
        return len(images) - 1

    def addition(other, first):
        ratios = rng.uniform(0.3, 1.2, 3).astype(np.float32)
        return Addition(
            other, int(rng.integers(0, 256)), first, ratios[0], ratios[1], np.float32(-60) * ratios[2]
        )

    def constant(like):
        values = rng.integers(0, 256, (channels, images[like].height, images[like].width), np.uint8)
        steps.append(Constant(0, len(images), values))
        images.append(Image(*values.shape, int(rng.integers(0, 256))))
        return len(images) - 1

    def add_images(source, more):
        steps.append(Sum(source, len(images), more))
        images.append(Image(*(getattr(images[source], each) for each in SIDES), int(rng.integers(0, 256))))
        return len(images) - 1

    one = add(0, three)
    first = add_images(add(one, three, addition(constant(one), True)), addition(one, False))
    strided = add(first, two)
    shortcut = add(first, Window((1, 1), (2, 2), (0, 0, 0, 0)))
    last = add(strided, three, addition(shortcut, False))
    last = add_images(last, addition(constant(last), True))
    pooled = MaxPool(last, len(images), Window((2, 2), (2, 2), (0, 0, 1, 1)))
    steps.append(pooled)
    size = (images[last].height + 1 - 2) // 2 + 1
    images.append(Image(channels, size, size, images[last].zero))
    return images, steps


@pytest.fixture(scope="session")
def draw_block() -> Callable[..., tuple[list[Image], list[Conv | MaxPool]]]:
    return block
