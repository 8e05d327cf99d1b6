"""`folder:PATH`: a person's own images, one folder per class."""

import os
from collections import Counter
from collections.abc import Sequence
from math import isqrt
from pathlib import Path

import numpy as np

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.data.folder_images import Header, read_headers, read_pixels
from recycle_pipeline.pipeline.data.folder_layout import list_images
from recycle_pipeline.pipeline.data.image_set import Augmentation, ImageSet
from recycle_pipeline.pipeline.data.statistics import channel_statistics

MEMORY_LIMIT = 8 << 30  # bytes of pixels, both splits; beyond it, a set held in memory is the wrong tool
_SIZES_SHOWN = 5


def load_folder(path: str, image_size: int | None = None) -> ImageSet:
    """Reads a folder of images into memory.

    1. Layout: see `folder_layout.list_images`.
    2. Channels: one if every image is grayscale or black and white (Pillow modes L and 1), else three.
    3. Size: `image_size` if given; else the one square size that all images share.
    4. Pixels: decoded, the central square resampled to the size; EXIF rotation is not applied.
    5. Mean and standard deviation: of the train images.

    Args:
        path: The folder; a leading ~ is expanded.
        image_size: Side in pixels to which every image is brought, or None.

    Returns:
        The data set, named by the absolute path; classes sorted by name.

    Raises:
        UsageFault: If the layout cannot be read, images are unreadable or of several sizes, or the whole
            would take more than `MEMORY_LIMIT` bytes.
    """
    if image_size is not None and image_size < 1:
        raise UsageFault(f"--image-size is {image_size}; expected 1 pixel or more; pass a larger one")
    root = Path(os.path.expanduser(path)).absolute()
    listing = list_images(root, given=path)
    headers = read_headers([*listing.train_paths, *listing.test_paths])
    gray = all(header.mode in ("L", "1") for header in headers)
    side = _common_side(root, headers) if image_size is None else image_size
    _check_memory(root, len(headers), 1 if gray else 3, side)
    pixels = read_pixels(headers, gray, side)
    number = len(listing.train_paths)
    mean, std = channel_statistics(pixels[:number])
    return ImageSet(
        name=f"folder:{root}",
        train_images=pixels[:number],
        train_labels=np.array(listing.train_labels, dtype=np.int64),
        test_images=pixels[number:],
        test_labels=np.array(listing.test_labels, dtype=np.int64),
        classes=listing.classes,
        mean=mean,
        std=std,
        augmentation=Augmentation(pad=max(1, side // 8), flip=True),
    )


def _common_side(root: Path, headers: Sequence[Header]) -> int:
    """The side that all images share.

    Raises:
        UsageFault: If they differ or are not square; tells the sizes seen.
    """
    sizes = Counter(header.size for header in headers)
    (width, height), _ = sizes.most_common(1)[0]
    if len(sizes) == 1 and width == height:
        return width
    shown = [f"{w}x{h} ({count})" for (w, h), count in sizes.most_common(_SIZES_SHOWN)]
    more = f" and {len(sizes) - len(shown)} more sizes" if len(sizes) > len(shown) else ""
    raise UsageFault(
        f"the images in {root} measure, width x height (how many): {', '.join(shown)}{more}; expected one "
        f"square size; pass --image-size N to resize and crop all of them to NxN pixels"
    )


def _check_memory(root: Path, number: int, channels: int, side: int) -> None:
    """Refuses before the memory is taken.

    Raises:
        UsageFault: If the pixels would take more than `MEMORY_LIMIT` bytes; tells the largest size that fits.
    """
    wanted = number * channels * side * side
    if wanted > MEMORY_LIMIT:
        largest = isqrt(MEMORY_LIMIT // (number * channels))
        todo = f"pass --image-size {largest} or smaller" if largest else "use fewer images"
        raise UsageFault(
            f"the {number} images in {root} would take {wanted / 2**30:.1f} GiB as {channels} channels of "
            f"{side}x{side} pixels; expected at most {MEMORY_LIMIT / 2**30:.1f} GiB in memory; {todo}"
        )
