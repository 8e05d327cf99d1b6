"""scikit-learn's handwritten digits: real images without a network, small enough for a CPU and for CI."""

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.pipeline.data.image_set import Augmentation, ImageSet
from recycle_pipeline.pipeline.data.split import every_fifth_is_test
from recycle_pipeline.pipeline.data.statistics import channel_statistics

IMAGE_SIZE = 8
_LEVELS = 16  # the file holds 0..16: inked pixels in a 4x4 block of the scan


def load_digits() -> ImageSet:
    """Reads the 1797 images of 8x8 pixels that lie inside the scikit-learn wheel.

    Values 0..16 become round(value * 255 / 16). The file has no split: the images of each class at
    positions 0, 5, 10, ... are test. This is the UCI test part, so numbers are not comparable with
    those on UCI's own split.

    Returns:
        1433 train and 364 test images, shape (N, 1, 8, 8).
    """
    from sklearn.datasets import load_digits as read  # takes a second; only those who ask pay

    bunch = read()
    labels: NDArray[np.int64] = bunch.target.astype(np.int64)
    images = np.round(bunch.images * (255 / _LEVELS)).astype(np.uint8)[:, None]  # (1797, 1, 8, 8)
    test = every_fifth_is_test(labels)
    mean, std = channel_statistics(images[~test])
    return ImageSet(
        name="digits",
        train_images=images[~test],
        train_labels=labels[~test],
        test_images=images[test],
        test_labels=labels[test],
        classes=tuple(str(digit) for digit in range(10)),
        mean=mean,
        std=std,
        # A digit fills its 8x8 frame: any shift cuts strokes.
        augmentation=Augmentation(pad=0, flip=False, noise=0.1),
    )
