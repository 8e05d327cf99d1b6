"""Opens the images of a folder. Every file is hostile until decoded: all failures are gathered, then told."""

import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.models.errors import UsageFault

_T = TypeVar("_T")
_R = TypeVar("_R")
_THREADS = min(8, os.cpu_count() or 1)  # decoding releases the interpreter; each may hold a whole image
_WIDE_MODES = ("I", "F")  # 16 or 32 bits a pixel; Pillow clips them at 255 when it converts


@dataclass(frozen=True)
class Header:
    """What a file says of its image before the pixels are decoded: size is (width, height) in pixels."""

    path: str
    size: tuple[int, int]
    mode: str


def read_headers(paths: Sequence[str]) -> list[Header]:
    """Reads size and Pillow mode of every image.

    Raises:
        UsageFault: If any image is damaged, has more than 8 bits a channel, or has more pixels than Pillow's
            MAX_IMAGE_PIXELS (an image bomb). If any header is bad, the others' pixels are decoded too, so
            that one message names all.
    """
    headers, problems = attempt(_header, paths, paths)
    if problems:
        opened = [header.path for header in headers]
        _, damaged = attempt(lambda path: square(path, True, 1), opened, opened)
        raise unreadable({**problems, **damaged}, len(paths))
    return headers


def read_pixels(headers: Sequence[Header], gray: bool, side: int) -> NDArray[np.uint8]:
    """Decodes every image and brings it to one size.

    Args:
        headers: Of N images.
        gray: Whether to make one channel, otherwise three.
        side: Side of the result, in pixels.

    Returns:
        Pixels, shape (N, 1 or 3, side, side).

    Raises:
        UsageFault: If the pixels of any image are damaged; names them all.
    """
    pixels = np.empty((len(headers), 1 if gray else 3, side, side), dtype=np.uint8)
    paths = [header.path for header in headers]

    def fill(row: int) -> None:
        pixels[row] = square(paths[row], gray, side)

    _, problems = attempt(fill, paths, range(len(paths)))
    if problems:
        raise unreadable(problems, len(headers))
    return pixels


def _header(path: str) -> Header:
    from PIL import Image

    with Image.open(path) as image:
        if image.mode.split(";")[0] in _WIDE_MODES:
            raise ValueError(f"mode {image.mode} has more than 8 bits a channel; convert it to 8 bits")
        if min(image.size) < 1:
            raise ValueError(f"it measures {image.width}x{image.height} pixels")
        return Header(path, image.size, image.mode)


def square(path: str, gray: bool, side: int) -> NDArray[np.uint8]:
    """Decodes one image: the shorter side is brought to `side`, the longer cropped around the centre.

    The central square is resampled in one step. That is torchvision's Resize and CenterCrop without their
    rounding, and a file of 1 x 80,000,000 pixels never becomes an image of `side` x (80,000,000 side).

    Returns:
        Pixels, shape (C, side, side).
    """
    from PIL import Image

    with Image.open(path) as file:
        image = file.convert("L" if gray else "RGB")  # drops transparency
    width, height = image.size
    short = min(width, height)
    left, top = (width - short) / 2, (height - short) / 2
    box = (left, top, left + short, top + short)
    square = image.resize((side, side), Image.Resampling.BILINEAR, box=box)  # Pillow's filters antialias
    return np.asarray(square).reshape(side, side, -1).transpose(2, 0, 1)


def attempt(
    action: Callable[[_T], _R], paths: Sequence[str], items: Sequence[_T], threads: int = _THREADS
) -> tuple[list[_R], dict[str, str]]:
    """Applies `action` to every item, on several threads.

    Returns:
        The results of the items that went well, in order; and for the others path and reason.
    """
    from PIL import Image

    def one(item: _T) -> tuple[_R, None] | tuple[None, str]:
        try:
            return action(item), None
        except Exception as error:  # Pillow raises a dozen unrelated types on hostile files
            return None, _reason(error)

    results, problems = [], {}
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        warnings.simplefilter("ignore")  # remarks on odd metadata; the pixels decide
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for path, (result, problem) in zip(paths, pool.map(one, items), strict=True):
            if problem is None:
                results.append(cast(_R, result))
            else:
                problems[path] = problem
    return results, problems


def _reason(error: Exception) -> str:
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return f"more than {Image.MAX_IMAGE_PIXELS} pixels, Pillow's limit; shrink it first"
    text = " ".join(str(getattr(error, "strerror", None) or error).split())
    return text or type(error).__name__


def problems_of(paths: Sequence[str]) -> dict[str, str]:
    """Path and reason of every image that cannot be read; decodes all."""

    def whole(path: str) -> None:
        _header(path)
        square(path, False, 1)

    return attempt(whole, paths, paths)[1]


def told(problems: dict[str, str], number: int) -> str:
    """All images of `number` that cannot be read, a line each."""
    lines = [f"\n  {path} ({reason})" for path, reason in sorted(problems.items())]
    return f"{len(problems)} of {number} images cannot be read:{''.join(lines)}"


def unreadable(problems: dict[str, str], number: int) -> UsageFault:
    """The refusal of a folder, with all its images that cannot be read."""
    return UsageFault(
        f"{told(problems, number)}\nexpected intact 8-bit images; repair or remove them, or leave them "
        "out with --skip-unreadable"
    )
