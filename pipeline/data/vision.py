"""CIFAR-10, CIFAR-100, MNIST and Fashion-MNIST, read by torchvision from files in a data root."""

import contextlib
import io
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.data.download import fetched
from recycle_pipeline.pipeline.data.image_set import Augmentation, ImageSet
from recycle_pipeline.pipeline.data.vision_faults import explain, published_files

ROOT_VARIABLE = "RECYCLE_DATA_ROOT"


@dataclass(frozen=True)
class VisionSpec:
    """One torchvision data set and the constants published for it.

    Attributes:
        torchvision_name: Class in torchvision.datasets.
        folder: Where torchvision keeps the files, relative to the data root.
        image_size: Side of the images, in pixels.
        mean: Published, per channel, of pixels / 255.
        std: Published, per channel, of pixels / 255.
        augmentation: What the field does when training on this set.
    """

    torchvision_name: str
    folder: str
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentation: Augmentation


SPECS = {
    "cifar10": VisionSpec(  # constants of hidden-networks, where edge-popup was published
        "CIFAR10",
        "cifar-10-batches-py",
        32,
        (0.491, 0.482, 0.447),
        (0.247, 0.243, 0.262),
        Augmentation(pad=4, flip=True),
    ),
    "cifar100": VisionSpec(
        "CIFAR100",
        "cifar-100-python",
        32,
        (0.5071, 0.4865, 0.4409),
        (0.2673, 0.2564, 0.2762),
        Augmentation(pad=4, flip=True),
    ),
    "mnist": VisionSpec("MNIST", "MNIST/raw", 28, (0.1307,), (0.3081,), Augmentation(pad=2, flip=False)),
    "fashion-mnist": VisionSpec(
        "FashionMNIST", "FashionMNIST/raw", 28, (0.2860,), (0.3530,), Augmentation(pad=2, flip=True)
    ),
}


def default_data_root() -> Path:
    """Where data sets lie when nobody says: $RECYCLE_DATA_ROOT, else ~/.cache/recycle-pipeline/data."""
    return _expanded(os.environ.get(ROOT_VARIABLE) or "~/.cache/recycle-pipeline/data")


def _expanded(path: str | Path) -> Path:
    return Path(os.path.expanduser(path)).absolute()  # unlike Path.expanduser, accepts an unknown ~user


def load_vision(
    name: str,
    *,
    data_root: Path | None = None,
    download: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> ImageSet:
    """Reads a data set of `SPECS` from the data root.

    Args:
        name: Key of `SPECS`.
        data_root: Folder that holds torchvision's own folder; None means `default_data_root()`.
        download: Whether torchvision may fetch what is missing. Its progress bar goes to stderr.
        say: Told that another process is waited for.

    Returns:
        The published train and test splits, shape (N, C, 32, 32) or (N, 1, 28, 28).

    Raises:
        UsageFault: If files are missing or damaged, or could not be downloaded; says where it looked.
    """
    import torchvision.datasets

    spec = SPECS[name]
    root = default_data_root() if data_root is None else _expanded(data_root)
    reader = getattr(torchvision.datasets, spec.torchvision_name)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy's remarks on the age of CIFAR's pickles
            splits = _splits(name, reader, root, say) if download else _read(reader, str(root))
        return _image_set(name, spec, *splits)
    except Exception as error:  # torchvision, pickle and urllib raise a dozen unrelated types here
        raise UsageFault(explain(name, reader, root, spec.folder, download, error)) from error


def _read(reader: Any, root: str, download: bool = False) -> list[Any]:
    """Both splits."""
    return [reader(root, train=train, download=download) for train in (True, False)]


def _splits(name: str, reader: Any, root: Path, say: Callable[[str], None]) -> list[Any]:
    """The same, downloaded where they are not there."""
    found: list[Any] = fetched(
        partial(_read, reader), root, name, SPECS[name].folder, published_files(reader), say
    )
    return found


def _image_set(name: str, spec: VisionSpec, train: Any, test: Any) -> ImageSet:
    """Joins two torchvision splits.

    Raises:
        UsageFault: If images and labels of a split do not fit each other: one of the files is damaged.
    """
    return ImageSet(
        name=name,
        train_images=_planes(train.data),
        train_labels=np.asarray(train.targets, dtype=np.int64),
        test_images=_planes(test.data),
        test_labels=np.asarray(test.targets, dtype=np.int64),
        classes=tuple(train.classes),
        mean=spec.mean,
        std=spec.std,
        augmentation=spec.augmentation,
    )


def _planes(data: Any) -> NDArray[np.uint8]:
    """Turns CIFAR's (N, H, W, 3) array or MNIST's (N, H, W) tensor into (N, C, H, W)."""
    pixels = np.asarray(data)
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2) if pixels.ndim == 4 else pixels[:, None])
