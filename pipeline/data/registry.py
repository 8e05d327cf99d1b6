"""Which data sets exist, by name. The one entry point of the package is `load`."""

import difflib
import os
from collections.abc import Callable
from pathlib import Path

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.data import digits, vision
from recycle_pipeline.pipeline.data.folder import load_folder
from recycle_pipeline.pipeline.data.image_set import ImageSet

FOLDER_PREFIX = "folder:"

# Side in pixels of the data sets whose size is fixed; `load` says who reads them.
FIXED_SIZES: dict[str, int] = {
    "digits": digits.IMAGE_SIZE,
    **{name: spec.image_size for name, spec in vision.SPECS.items()},
}

KNOWN: tuple[str, ...] = (*FIXED_SIZES, f"{FOLDER_PREFIX}PATH")


def load(
    data: str,
    *,
    data_root: Path | None = None,
    download: bool = False,
    image_size: int | None = None,
    skip_unreadable: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> ImageSet:
    """Reads a data set: into memory, but for a large folder, see `folder.load_folder`.

    Args:
        data: One of `KNOWN`; `folder:PATH` reads a folder of images.
        data_root: Where CIFAR and MNIST lie; None means `vision.default_data_root()`. Digits and folders
            have no use for it, nor for `download`.
        download: Whether missing files of CIFAR and MNIST may be fetched.
        image_size: Side in pixels to which a folder's images are brought. The other data sets take their
            own size or None.
        skip_unreadable: Whether a folder's images that cannot be read are left out, and told. The other data
            sets have none.
        say: Told how far the decoding of a large folder is.

    Returns:
        The data set.

    Raises:
        UsageFault: If the name is unknown, the files are missing or damaged, or `image_size` does not fit.
    """
    if data.startswith(FOLDER_PREFIX):
        path = data.removeprefix(FOLDER_PREFIX)
        return load_folder(path, image_size, say, skip_unreadable=skip_unreadable)
    if data not in FIXED_SIZES:
        raise UsageFault(_unknown(data))
    if image_size not in (None, FIXED_SIZES[data]):
        raise UsageFault(
            f"--image-size {image_size} was given for data set {data!r}, whose images are "
            f"{FIXED_SIZES[data]} pixels wide; only {KNOWN[-1]} can be resized; leave out --image-size"
        )
    if data == "digits":
        return digits.load_digits()
    return vision.load_vision(data, data_root=data_root, download=download, say=say)


def _unknown(data: str) -> str:
    if data and os.path.isdir(os.path.expanduser(data)):
        hint = f"; {data} is a folder: did you mean {FOLDER_PREFIX}{data}?"
    else:
        close = difflib.get_close_matches(data.lower(), FIXED_SIZES, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
    return f"unknown data set {data!r}; expected one of {', '.join(KNOWN)}{hint or '; choose one of them'}"
