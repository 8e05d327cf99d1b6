"""The bytes of a network of sparse convolutions on float32 activations, as the compiled kernels read it.

Their layout is written down in `native/read_floats.c`, which checks every number again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.kernel.packed import (
    CONSTANT,
    CONV,
    MAXPOOL,
    NONE,
    POINT,
    SUM,
    Image,
    Window,
    head,
    packed_taps,
    step_head,
    words,
)

VERSION = 2


@dataclass(frozen=True, eq=False)
class FloatConv:
    """A convolution: weights times activations, and bias, and `other` if there is one; ReLU or not.

    Attributes:
        source, target, other: names of images.
        window: over the source.
        weights: (K, C, rows, columns) float32, most of them 0.
        bias: (K,) float32.
    """

    source: str
    target: str
    window: Window
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    other: str | None = None
    relu: bool = False


@dataclass(frozen=True)
class FloatPool:
    """The largest value under a window."""

    source: str
    target: str
    window: Window


@dataclass(frozen=True)
class FloatSum:
    """Two images added, where no convolution can do it with its own result."""

    source: str
    target: str
    other: str
    relu: bool = False
    window: Window = POINT


@dataclass(frozen=True, eq=False)
class FloatConstant:
    """An image that is always the same: (channels, height, width). `source` is the one that is given."""

    source: str
    target: str
    values: NDArray[np.float32]
    window: Window = POINT


FloatStep = FloatConv | FloatPool | FloatSum | FloatConstant
KINDS: dict[type, int] = {FloatConv: CONV, FloatPool: MAXPOOL, FloatSum: SUM, FloatConstant: CONSTANT}


def packed_floats(images: Mapping[str, Image], steps: Sequence[FloatStep]) -> bytes:
    """The bytes of a network.

    Args:
        images: by name, the one that is given first, then what each step makes, in order.
        steps: in order; the last makes what is asked for.
    """
    numbers = {name: number for number, name in enumerate(images)}
    parts = [head(VERSION, list(images.values()), len(steps), 0, numbers[steps[-1].target])]
    for step in steps:
        parts.append(step_head(KINDS[type(step)], numbers[step.source], numbers[step.target], step.window))
        if isinstance(step, FloatConv | FloatSum):
            other = NONE if step.other is None else numbers[step.other]
            parts.append(words(other, int(step.relu)))
        if isinstance(step, FloatConv):
            parts.append(_weights(step))
        elif isinstance(step, FloatConstant):
            parts.append(_real(step.values))
    return b"".join(parts)


def _weights(step: FloatConv) -> bytes:
    """Bias, taps and weights: of each output channel one magnitude, where all of them have but one."""
    flat = step.weights.reshape(len(step.weights), -1)
    largest = np.abs(flat).max(1)
    signs = np.sign(flat).astype(np.int8)
    if np.array_equal(signs * largest[:, None], flat):
        return _real(step.bias) + words(0) + _real(largest) + packed_taps(signs)
    return _real(step.bias) + words(1) + packed_taps(np.abs(signs)) + _real(flat[flat != 0])


def _real(values: NDArray[np.float32]) -> bytes:
    return values.astype("<f4").tobytes()
