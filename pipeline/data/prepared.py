"""A split of images that is read and prepared a slice at a time, so that it is never in memory as a whole."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.pipeline.data.image_set import Images

Change = Callable[[NDArray[np.uint8]], NDArray[Any]]


class Prepared:
    """What a slice of images becomes, made when it is asked for.

    Args:
        images: (N, C, S, S).
        change: Of (n, C, S, S) to as many images of another kind; by default they stay as they are.
    """

    def __init__(self, images: Images, change: Change = lambda part: part) -> None:
        self._images, self._change = images, change

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: slice, /) -> NDArray[Any]:
        return self._change(np.asarray(self._images[index]))


def normalised(
    pixels: NDArray[np.uint8], mean: tuple[float, ...], std: tuple[float, ...]
) -> NDArray[np.float32]:
    """(N, C, S, S) uint8 to float32 (pixels / 255 - mean) / std."""
    shape = (1, -1, 1, 1)
    centres, spreads = (np.array(values, np.float32).reshape(shape) for values in (mean, std))
    return (pixels.astype(np.float32) / np.float32(255) - centres) / spreads
