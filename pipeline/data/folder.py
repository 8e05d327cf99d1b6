"""`folder:PATH`: a person's own images, one folder per class."""

import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.data.decode_pool import Job
from recycle_pipeline.pipeline.data.folder_images import (
    Header,
    problems_of,
    read_headers,
    read_pixels,
    told,
)
from recycle_pipeline.pipeline.data.folder_layout import Listing, list_images
from recycle_pipeline.pipeline.data.image_set import Augmentation, Images, ImageSet
from recycle_pipeline.pipeline.data.pixel_cache import entry_path, find, make
from recycle_pipeline.pipeline.data.statistics import channel_statistics

STREAM_ABOVE = 2 << 30  # bytes of pixels, both splits: 14,266 images of 224 px; more stays on the disk
_SIZES_SHOWN = 5
_MANY = 20_000  # images: from here on, looking at them takes seconds


def load_folder(
    path: str,
    image_size: int | None = None,
    say: Callable[[str], None] = lambda text: None,
    stream_above: int | None = None,
    *,
    skip_unreadable: bool = False,
) -> ImageSet:
    """Reads a folder of images: into memory, or, a large one, into a file of the cache that is read in parts.

    1. Layout: see `folder_layout.list_images`.
    2. Channels: one if every image is grayscale or black and white (Pillow modes L and 1), else three.
    3. Size: `image_size` if given; else the one square size that all images share.
    4. Pixels: decoded, the central square resampled to the size; EXIF rotation is not applied. Both ways
       give the same.
    5. Mean and standard deviation: of the train images.

    Args:
        path: The folder; a leading ~ is expanded.
        image_size: Side in pixels to which every image is brought, or None.
        say: Told how far the decoding of a large folder is.
        stream_above: Bytes of pixels above which a folder is large; None means `STREAM_ABOVE`.
        skip_unreadable: Whether images that cannot be read are left out, and told; every image is decoded
            once more for that. Otherwise one such image is an error.

    Returns:
        The data set, named by the absolute path; classes sorted by name.

    Raises:
        UsageFault: If the layout cannot be read, images are unreadable or of several sizes, or the disk
            lacks the room for a large folder's pixels.
    """
    if image_size is not None and image_size < 1:
        raise UsageFault(f"--image-size is {image_size}; expected 1 pixel or more; pass a larger one")
    limit = STREAM_ABOVE if stream_above is None else stream_above
    root = Path(os.path.expanduser(path)).absolute()
    listing = list_images(root, given=path)
    if skip_unreadable:
        listing = _readable(root, listing, say)
    paths = [*listing.train_paths, *listing.test_paths]
    about = entry_path(paths, len(listing.train_paths), image_size)
    entry = find(about)
    if entry is None or entry.nbytes <= limit:
        if len(paths) >= _MANY:
            say(f"looks at {len(paths):,} images")
        headers = read_headers(paths)
        gray = all(header.mode in ("L", "1") for header in headers)
        side = _common_side(root, headers) if image_size is None else image_size
        job = Job(paths, gray, side, len(listing.train_paths))
        if math.prod(job.shape) <= limit:
            pixels = read_pixels(headers, gray, side)
            return _image_set(root, listing, pixels, *channel_statistics(pixels[: job.train]))
        entry = make(about, job, root, say)
    images = _image_set(root, listing, entry.images(), entry.mean, entry.std)
    if entry.digest:
        images.take_digest(entry.digest)
    else:
        say("takes the digest of the decoded images")
        entry.keep_digest(images.digest())
    return images


def _readable(root: Path, listing: Listing, say: Callable[[str], None]) -> Listing:
    """Without the images that cannot be read.

    Raises:
        UsageFault: If a class would have none left in a split.
    """
    paths = [*listing.train_paths, *listing.test_paths]
    problems = problems_of(paths)
    if not problems:
        return listing
    say(f"note: left out: {told(problems, len(paths))}")
    left = listing.without(problems)
    for split, labels in (("train", left.train_labels), ("test", left.test_labels)):
        for label, name in enumerate(left.classes):
            if label not in labels:
                raise UsageFault(
                    f"{root}: without the images that cannot be read, class {name!r} has no {split} image; "
                    "repair or replace some"
                )
    return left


def _image_set(
    root: Path, listing: Listing, pixels: Images, mean: tuple[float, ...], std: tuple[float, ...]
) -> ImageSet:
    number = len(listing.train_paths)
    return ImageSet(
        name=f"folder:{root}",
        train_images=pixels[:number],
        train_labels=np.array(listing.train_labels, dtype=np.int64),
        test_images=pixels[number:],
        test_labels=np.array(listing.test_labels, dtype=np.int64),
        classes=listing.classes,
        mean=mean,
        std=std,
        augmentation=Augmentation(pad=max(1, pixels.shape[2] // 8), flip=True),
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
