"""Images held out of the training split, to choose by without looking at the test split."""

import dataclasses

import numpy as np

from recycle_pipeline.models.draws import bits_at, stream_key
from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.data.image_set import ImageSet


def held_out(images: ImageSet, count: int) -> ImageSet:
    """The same data with `count` of its train images in the place of the test split, which is left out.

    Which ones depends on the number of train images alone, so that searches to be compared hold out the
    same. Mean and std stay as they are.

    Args:
        images: the data.
        count: 1 to the number of train images - 1.

    Raises:
        UsageFault: there are not that many, or a split would be left empty.
    """
    total = len(images.train_labels)
    if not 0 < count < total:
        raise UsageFault(
            f"{count} of {total} train images cannot be held out; expected 1 to {total - 1}, for example "
            f"{max(1, total // 10)}"
        )
    order = np.argsort(bits_at(stream_key(0, "held out"), np.arange(total, dtype=np.uint64)), kind="stable")
    out, kept = np.sort(order[:count]), np.sort(order[count:])
    return dataclasses.replace(
        images,
        train_images=images.train_images[kept],
        train_labels=images.train_labels[kept],
        test_images=images.train_images[out],
        test_labels=images.train_labels[out],
    )
