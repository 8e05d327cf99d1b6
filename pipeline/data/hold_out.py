"""Images held out of the training split, to choose by without looking at the test split."""

import dataclasses

import numpy as np

from recycle_pipeline.models.draws import bits_at, stream_key
from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.data.image_set import ImageSet


def held_out(images: ImageSet, count: int) -> ImageSet:
    """The same data with `count` of its train images in the place of the test split, which is left out.

    Which ones depends on the number of train images alone, so that searches to be compared hold out the
    same. Mean and std stay as they are. Classes are held out as they are found: chance alone keeps them
    even.

    Args:
        images: the data.
        count: 1 to the number of train images - 1.

    Returns:
        The same data, `held_out`.

    Raises:
        UsageFault: there are not that many, or a split or a class would be left without train images.
    """
    total = len(images.train_labels)
    if not 0 < count < total:
        raise UsageFault(
            f"--hold-out {count}: {images.name} has {total} train images; expected 1 to {total - 1}, for "
            f"example {max(1, total // 10)}, or 0 to hold out none"
        )
    order = np.argsort(bits_at(stream_key(0, "held out"), np.arange(total, dtype=np.uint64)), kind="stable")
    out, kept = np.sort(order[:count]), np.sort(order[count:])
    lost = np.setdiff1d(images.train_labels[out], images.train_labels[kept])
    if len(lost):
        raise UsageFault(
            f"--hold-out {count} of {total} train images of {images.name} leaves none of class "
            f"{images.classes[lost[0]]!r} to train with; hold out fewer, for example {max(1, total // 10)}"
        )
    return dataclasses.replace(
        images,
        train_images=images.train_images[kept],
        train_labels=images.train_labels[kept],
        test_images=images.train_images[out],
        test_labels=images.train_labels[out],
        held_out=True,
    )
