"""What a search sees of a data set."""

import dataclasses

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.data.hold_out import held_out
from recycle_pipeline.pipeline.data.image_set import ImageSet


def searched(images: ImageSet, hold_out: int = 0, cutout: int = 0) -> ImageSet:
    """The data set, or the parts of its train split where some is held out; augmented as asked.

    Args:
        images: the data.
        hold_out: train images that take the place of the test split; 0 for none.
        cutout: side in pixels of a square that each training image loses; 0 for none.

    Raises:
        UsageFault: so many cannot be held out, or a cutout would hide whole images.
    """
    if cutout >= images.image_size:
        raise UsageFault(
            f"--cutout {cutout} would hide whole images of {images.image_size} pixels a side; expected "
            f"fewer, for example {images.image_size // 2}"
        )
    if cutout:
        augmentation = dataclasses.replace(images.augmentation, cutout=cutout)
        images = dataclasses.replace(images, augmentation=augmentation)
    return held_out(images, hold_out) if hold_out else images
