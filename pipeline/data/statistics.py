"""Mean and standard deviation of pixels, computed in integers so that they never depend on the machine."""

import math

import numpy as np
from numpy.typing import NDArray

_CHUNK_PIXELS = 1 << 24  # bincount widens uint8 to int64; chunks bound that copy to 128 MiB


Counts = NDArray[np.int64]


def channel_statistics(images: NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and population standard deviation of pixels / 255, per channel.

    Args:
        images: uint8 pixels, shape (N, C, H, W), at least one.

    Returns:
        C means and C standard deviations. A channel in which all pixels are equal has std exactly 0.
    """
    return statistics_of(histogram(images))


def histogram(images: NDArray[np.uint8]) -> Counts:
    """How often each value 0..255 occurs in (N, C, H, W), per channel: (C, 256). Of parts they add up."""
    return np.stack([_counts(images[:, channel]) for channel in range(images.shape[1])])


def statistics_of(counts: Counts) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The means and standard deviations of `channel_statistics` from a `histogram`."""
    moments = [_moments(row) for row in counts.tolist()]  # exact Python integers
    return tuple(mean for mean, _ in moments), tuple(std for _, std in moments)


def _counts(plane: NDArray[np.uint8]) -> Counts:
    """Counts in one channel, shape (N, H, W): (256,)."""
    counts = np.zeros(256, dtype=np.int64)
    step = max(1, _CHUNK_PIXELS // max(1, plane[:1].size))
    for start in range(0, len(plane), step):
        counts += np.bincount(plane[start : start + step].ravel(), minlength=256)
    return counts


def _moments(counts: list[int]) -> tuple[float, float]:
    number = sum(counts)
    total = sum(value * count for value, count in enumerate(counts))
    squares = sum(value * value * count for value, count in enumerate(counts))
    variance = (squares * number - total * total) / (number * number)  # integers until the one division
    return total / number / 255, math.sqrt(variance) / 255
