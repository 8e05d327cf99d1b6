"""The bytes that the compiled kernels read: a network of ternary convolutions on 8-bit activations.

Their layout is written down in `native/read.c`, which checks every number again.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.models.errors import RecycleError

MAGIC, VERSION = 0x4B594352, 1
NONE = 0xFFFFFFFF
CONV, MAXPOOL, SUM, CONSTANT = 1, 2, 3, 4
MOST_CHANNELS, LARGEST_SIDE, LARGEST_IMAGE = 16384, 4096, 1 << 28  # of an image, as native/read.c has them
CHUNK = 128  # taps of one sign whose sum fits 16 bits: 128 * 255 = 32,640


@dataclass(frozen=True)
class Image:
    """8-bit activations of one image, (channels, height, width), of which `zero` stands for 0."""

    channels: int
    height: int
    width: int
    zero: int


def holds(image: Image) -> bool:
    """Whether the kernels take images of this size."""
    sides, size = (image.height, image.width), image.channels * image.height * image.width
    small = image.channels <= MOST_CHANNELS and max(sides) <= LARGEST_SIDE and size <= LARGEST_IMAGE
    return small and min(image.channels, *sides) > 0


@dataclass(frozen=True)
class Window:
    """What slides over an image, in pixels: size and strides as (rows, columns); padding as ONNX has it."""

    size: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]  # top, left, bottom, right


POINT = Window((1, 1), (1, 1), (0, 0, 0, 0))


@dataclass(frozen=True)
class Addition:
    """What becomes of a convolution's result u and another image v: round(a u + (b v + fixed)), or b v first.

    Attributes:
        other: number of the other image.
        zero: of the convolution's own result.
        first: whether u is the first operand, which is multiplied last.
        own_ratio, other_ratio: a and b, float32.
        fixed: float32.
    """

    other: int
    zero: int
    first: bool
    own_ratio: np.float32
    other_ratio: np.float32
    fixed: np.float32


@dataclass(frozen=True, eq=False)
class Conv:
    """A convolution: round((magnitude * (sum of +-x) + bias) * scale) + zero, halves to even, in 0 to 255.

    Attributes:
        source, target: numbers of images.
        window: over the source.
        signs: (K, C, rows, columns) of -1, 0, 1.
        magnitude: (K,) integers from 1 to 128, of the weights.
        bias: (K,) int32, for activations less their zero point.
        scale: (K,) float32.
        addition: what is added to the result, if anything is.
    """

    source: int
    target: int
    window: Window
    signs: NDArray[np.int8]
    magnitude: NDArray[np.int32]
    bias: NDArray[np.int32]
    scale: NDArray[np.float32]
    addition: Addition | None = None


@dataclass(frozen=True)
class MaxPool:
    """The largest value under a window."""

    source: int
    target: int
    window: Window


@dataclass(frozen=True)
class Sum:
    """Two images added, where no convolution can do it with its own result."""

    source: int
    target: int
    addition: Addition
    window: Window = POINT


@dataclass(frozen=True, eq=False)
class Constant:
    """An image that is always the same: (channels, height, width). `source` is any that is made before."""

    source: int
    target: int
    values: NDArray[np.uint8]
    window: Window = POINT


Step = Conv | MaxPool | Sum | Constant
KINDS: dict[type, int] = {Conv: CONV, MaxPool: MAXPOOL, Sum: SUM, Constant: CONSTANT}


def packed(images: Sequence[Image], steps: Sequence[Step], source: int, target: int) -> bytes:
    """The bytes of a network.

    Args:
        images: all of them.
        steps: in order; each makes one image.
        source: number of the image that is given.
        target: of the one that is asked for.
    """
    parts = [head(VERSION, images, len(steps), source, target)]
    for step in steps:
        parts.append(step_head(KINDS[type(step)], step.source, step.target, step.window))
        if isinstance(step, Conv):
            parts.append(_conv(step, images[step.target].zero))
        elif isinstance(step, Sum):
            parts.append(_addition(step.addition))
        elif isinstance(step, Constant):
            parts += [step.values.tobytes(), bytes(-step.values.size % 4)]
    return b"".join(parts)


def head(version: int, images: Sequence[Image], steps: int, source: int, target: int) -> bytes:
    """What a network begins with."""
    parts = [words(MAGIC, version, len(images), steps, source, target)]
    parts += [words(each.channels, each.height, each.width, each.zero) for each in images]
    return b"".join(parts)


def step_head(kind: int, source: int, target: int, window: Window) -> bytes:
    """What a step begins with."""
    return words(kind, source, target, *window.size, *window.strides, *window.pads)


def narrow_channels(step: Conv) -> int:
    """Output channels whose sums fit 16 bits whatever the activations are: at most 128 taps of either sign.

    A sum lies between -255 times the subtracted taps and 255 times the added ones, and 128 * 255 < 2^15. The
    others are summed in parts that keep to this, which are added up in 32 bits.
    """
    flat = step.signs.reshape(len(step.signs), -1)
    return int((np.maximum((flat > 0).sum(1), (flat < 0).sum(1)) <= CHUNK).sum())


def _conv(step: Conv, zero: int) -> bytes:
    addition = step.addition or Addition(NONE, zero, True, *np.zeros(3, np.float32))
    return b"".join(
        (
            _addition(addition),
            step.bias.astype("<i4").tobytes(),
            step.scale.astype("<f4").tobytes(),
            step.magnitude.astype("<i4").tobytes(),
            packed_taps(step.signs),
        )
    )


def _addition(addition: Addition) -> bytes:
    numbers = struct.pack("<3f", addition.own_ratio, addition.other_ratio, addition.fixed)
    return words(addition.other, addition.zero, int(addition.first)) + numbers


def packed_taps(signs: NDArray[np.int8]) -> bytes:
    """How many bytes follow; each channel's number of taps, their gaps and signs, in groups of seven bits.

    Args:
        signs: (K, ...) of -1, 0, 1.
    """
    flat = signs.reshape(len(signs), -1)
    rows, places = np.nonzero(flat)
    counts = np.bincount(rows, minlength=len(flat))
    first = np.r_[True, rows[1:] != rows[:-1]][: len(rows)]
    gaps = np.where(first, places, np.diff(places, prepend=0) - 1)
    codes = 2 * gaps + (flat[rows, places] < 0)
    starts = np.r_[0, np.cumsum(counts)[:-1]]
    taps = _groups(np.insert(codes, starts, counts))
    return words(len(taps)) + taps + bytes(-len(taps) % 4)


def _groups(numbers: NDArray[np.int64]) -> bytes:
    """LEB128: seven bits to a byte, the lowest first, the top bit set where more follow."""
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < 1 << 28:
        raise RecycleError(
            "the kernels: a layer is too large; expected at most 2^27 weights for each channel"
        )
    shifts = np.arange(0, 28, 7)
    groups = numbers[:, None] >> shifts & 127  # (n, 4)
    lengths = np.maximum((numbers[:, None] >> shifts > 0).sum(1), 1)
    more = np.arange(1, 5) < lengths[:, None]
    return bytes((groups | more << 7)[np.arange(4) < lengths[:, None]].astype(np.uint8))


def words(*values: int) -> bytes:
    """Unsigned, of 32 bits, little-endian."""
    return struct.pack(f"<{len(values)}I", *values)
