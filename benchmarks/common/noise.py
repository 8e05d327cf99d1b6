"""Images for measuring speed, which does not depend on what they show."""

from typing import Any

import numpy as np

from recycle_pipeline.pipeline.data.image_set import Augmentation, ImageSet


def random_images(train: int = 50_000, test: int = 10_000, side: int = 32) -> ImageSet:
    """Noise in CIFAR-10's shape: that many images, ten classes, flips and shifts of 4 pixels."""
    rng = np.random.default_rng(0)

    def split(count: int) -> tuple[Any, Any]:
        return rng.integers(0, 256, (count, 3, side, side), dtype=np.uint8), rng.integers(0, 10, count)

    names = tuple("abcdefghij")
    return ImageSet(
        "noise", *split(train), *split(test), names, (0.5,) * 3, (0.25,) * 3, Augmentation(4, True)
    )
