"""The value that every data set becomes: images, labels and what is needed to feed them to a network."""

import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.data.stored_images import StoredImages

Images = NDArray[np.uint8] | StoredImages


@dataclass(frozen=True)
class Augmentation:
    """What may be done to a train image without changing its class.

    Attributes:
        pad: Pixels added on every side before a random crop back to the image's size; 0 means no crop.
        flip: Whether half of the images are mirrored left to right.
        noise: Standard deviation of what is added to every pixel / 255; for small images, as memory for
            a whole epoch's noise is held.
        cutout: Side in pixels of a square at a random place that is made the mean colour; part of it may lie
            outside (DeVries and Taylor 2017); 0 means none.

    Raises:
        UsageFault: If `pad`, `noise` or `cutout` is negative.
    """

    pad: int
    flip: bool
    noise: float = 0.0
    cutout: int = 0

    def __post_init__(self) -> None:
        if self.pad < 0:
            raise UsageFault(f"augmentation pad is {self.pad}; expected 0 pixels or more; use 0 for no crop")
        if not 0 <= self.noise < math.inf:
            raise UsageFault(f"augmentation noise is {self.noise:g}; expected 0 or more; use 0 for none")
        if self.cutout < 0:
            raise UsageFault(
                f"augmentation cutout is {self.cutout}; expected 0 pixels or more; use 0 for none"
            )


@dataclass(frozen=True, eq=False)  # eq=False: numpy arrays have no single truth value; compare digest()
class ImageSet:
    """One data set of square images, split into train and test.

    Attributes:
        name: What the user asked for, e.g. `cifar10`; appears in messages and manifests.
        train_images: uint8 pixels, shape (N, C, S, S); in memory, or of a large set in a file.
        train_labels: Class indices in [0, len(classes)), shape (N,).
        test_images: uint8 pixels, shape (M, C, S, S), with the C and S of `train_images`.
        test_labels: Class indices, shape (M,).
        classes: Class names; position = label.
        mean: Per channel, of pixels / 255.
        std: Per channel, of pixels / 255; above 0.
        augmentation: What training may do to the train images.
        held_out: Whether the test split is in truth a part of the train split; see `hold_out`.

    Raises:
        UsageFault: If dtypes, shapes, labels, classes or statistics disagree with the above, or a split
            is empty, or there are fewer than two classes.
    """

    name: str
    train_images: Images
    train_labels: NDArray[np.int64]
    test_images: Images
    test_labels: NDArray[np.int64]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentation: Augmentation
    held_out: bool = False

    def __post_init__(self) -> None:
        self._check_classes()
        self._check_split("train", self.train_images, self.train_labels)
        self._check_split("test", self.test_images, self.test_labels)
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise self._fault(
                f"train images are {self.train_images.shape[1:]}, test images {self.test_images.shape[1:]}",
                "the same (C, S, S) in both splits",
                "resize or convert one of them",
            )
        self._check_statistics()

    @property
    def channels(self) -> int:
        """Channels per image: 1 for grayscale, 3 for RGB."""
        return int(self.train_images.shape[1])

    @property
    def image_size(self) -> int:
        """Side of the square images, in pixels."""
        return int(self.train_images.shape[2])

    def digest(self) -> str:
        """SHA-256 of the contents: images, labels, their shapes and the class names, as 64 hex digits.

        Neither the name nor the statistics enter: the same pixels read from another folder are the same
        data. The first call hashes everything, later calls return the kept result; do not write into
        the arrays.
        """
        return self._digest

    @cached_property
    def _digest(self) -> str:
        hasher = hashlib.sha256(json.dumps(self.classes).encode())  # ASCII; quotes keep names apart
        for array in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            little = array.dtype.newbyteorder("<")
            hasher.update(f"{little.str}{array.shape}".encode())  # fixes how many bytes follow
            for part in array.chunks() if isinstance(array, StoredImages) else (array,):
                hasher.update(np.ascontiguousarray(part, dtype=little).data)
        return hasher.hexdigest()

    @property
    def streams(self) -> bool:
        """Whether the pixels stay in a file, to be read in parts."""
        return isinstance(self.train_images, StoredImages)

    def take_digest(self, digest: str) -> None:
        """Sets what `digest` returns, where it was computed of the same contents before."""
        self.__dict__["_digest"] = digest  # as cached_property does

    def _check_classes(self) -> None:
        if len(self.classes) < 2:
            given = f"{len(self.classes)} class{'' if len(self.classes) == 1 else 'es'} {list(self.classes)}"
            raise self._fault(given, "at least two", "add images of another class")
        if len(set(self.classes)) < len(self.classes):
            raise self._fault(f"class names repeat: {list(self.classes)}", "distinct names", "rename one")

    def _check_split(self, split: str, images: Images, labels: NDArray[np.int64]) -> None:
        shape = images.shape
        if images.dtype != np.uint8 or len(shape) != 4 or shape[2] != shape[3] or 0 in shape[1:]:
            given = f"{split} images are {images.dtype} of shape {shape}"
            raise self._fault(given, "uint8 of shape (N, C, S, S)", "convert them to square 8-bit images")
        if labels.dtype != np.int64 or labels.ndim != 1:
            given = f"{split} labels are {labels.dtype} of shape {labels.shape}"
            raise self._fault(given, "int64 of shape (N,)", "give one class index per image")
        if len(images) != len(labels) or len(images) == 0:
            given = f"{len(images)} {split} images with {len(labels)} labels"
            raise self._fault(given, "one label per image and at least one image", "complete the data")
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= len(self.classes):
            given = f"{split} labels run from {low} to {high}"
            raise self._fault(
                given, f"0 to {len(self.classes) - 1}", "correct the labels or name every class"
            )

    def _check_statistics(self) -> None:
        if not len(self.mean) == len(self.std) == self.channels:
            given = f"{len(self.mean)} means and {len(self.std)} stds"
            raise self._fault(given, f"one per channel ({self.channels})", "give one of each per channel")
        if not all(math.isfinite(value) for value in self.mean):
            raise self._fault(f"mean is {self.mean}", "finite numbers", "compute it from the train images")
        if not all(math.isfinite(value) and value > 0 for value in self.std):
            given = f"std is {self.std}"
            todo = "look at the train images: a channel in which all pixels are equal has std 0"
            raise self._fault(given, "finite numbers above 0", todo)

    def _fault(self, given: str, expected: str, todo: str) -> UsageFault:
        return UsageFault(f"data set {self.name!r}: {given}; expected {expected}; {todo}")
