"""ImageSet: what it refuses, and that its digest stands for the contents."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.data import Augmentation, ImageSet


def tiny(**changes: Any) -> ImageSet:
    """Three train and two test images of 2x4x4, with `changes` to the fields."""
    pixels = np.arange(5 * 2 * 4 * 4, dtype=np.uint8).reshape(5, 2, 4, 4)
    fields: dict[str, Any] = {
        "name": "tiny",
        "train_images": pixels[:3],
        "train_labels": np.array([0, 1, 2]),
        "test_images": pixels[3:],
        "test_labels": np.array([2, 0]),
        "classes": ("cat", "dog", "eel"),
        "mean": (0.5, 0.4),
        "std": (0.2, 0.1),
        "augmentation": Augmentation(pad=1, flip=True),
    }
    return ImageSet(**{**fields, **changes})


REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"classes": ("cat",)}, "1 class ['cat']; expected at least two"),
    ({"classes": ()}, "0 classes []; expected at least two"),
    ({"classes": ("cat", "cat", "eel")}, "class names repeat"),
    ({"train_images": np.zeros((3, 2, 4, 4), np.float32)}, "train images are float32 of shape (3, 2, 4, 4)"),
    ({"train_images": np.zeros((3, 4, 4), np.uint8)}, "train images are uint8 of shape (3, 4, 4)"),
    ({"test_images": np.zeros((2, 2, 4, 5), np.uint8)}, "test images are uint8 of shape (2, 2, 4, 5)"),
    ({"test_images": np.zeros((2, 2, 0, 0), np.uint8)}, "test images are uint8 of shape (2, 2, 0, 0)"),
    ({"test_images": np.zeros((2, 2, 5, 5), np.uint8)}, "train images are (2, 4, 4), test images (2, 5, 5)"),
    ({"train_labels": np.array([0, 1, 2], np.int32)}, "train labels are int32 of shape (3,)"),
    ({"train_labels": np.array([[0], [1], [2]])}, "train labels are int64 of shape (3, 1)"),
    ({"train_labels": np.array([0, 1])}, "3 train images with 2 labels"),
    (
        {"test_images": np.zeros((0, 2, 4, 4), np.uint8), "test_labels": np.zeros(0, np.int64)},
        "0 test images with 0 labels",
    ),
    ({"test_labels": np.array([0, 3])}, "test labels run from 0 to 3; expected 0 to 2"),
    ({"test_labels": np.array([-1, 0])}, "test labels run from -1 to 0"),
    ({"mean": (0.5,)}, "1 means and 2 stds; expected one per channel (2)"),
    ({"std": (0.5, 0.5, 0.5)}, "2 means and 3 stds"),
    ({"mean": (0.5, float("nan"))}, "mean is (0.5, nan)"),
    ({"std": (0.5, 0.0)}, "a channel in which all pixels are equal has std 0"),
    ({"std": (0.5, float("inf"))}, "std is (0.5, inf)"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSALS, ids=[message for _, message in REFUSALS])
def test_a_field_that_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageFault) as caught:
        tiny(**changes)
    assert message in str(caught.value)
    assert str(caught.value).startswith("data set 'tiny': ")
    assert "; expected " in str(caught.value)


def test_a_negative_pad_is_refused() -> None:
    with pytest.raises(UsageFault, match="pad is -1; expected 0"):
        Augmentation(pad=-1, flip=False)


def test_channels_and_size_are_those_of_the_images() -> None:
    assert (tiny().channels, tiny().image_size) == (2, 4)


def changed_pixel(data: ImageSet) -> ImageSet:
    images = data.test_images.copy()
    images[-1, -1, -1, -1] ^= 1
    return replace(data, test_images=images)


def moved_image(data: ImageSet) -> ImageSet:
    """The same bytes in the same order, one image more in test."""
    images = np.concatenate([data.train_images, data.test_images])
    labels = np.concatenate([data.train_labels, data.test_labels])
    return replace(
        data,
        train_images=images[:2],
        train_labels=labels[:2],
        test_images=images[2:],
        test_labels=labels[2:],
    )


def reshaped(data: ImageSet) -> ImageSet:
    """The same bytes under another shape: (N, 8, 2, 2) for (N, 2, 4, 4)."""
    return replace(
        data,
        train_images=data.train_images.reshape(3, 8, 2, 2),
        test_images=data.test_images.reshape(2, 8, 2, 2),
        mean=(0.5,) * 8,
        std=(0.5,) * 8,
    )


@pytest.mark.parametrize(
    "change",
    [
        changed_pixel,
        moved_image,
        reshaped,
        lambda data: replace(data, train_labels=np.array([1, 0, 2])),
        lambda data: replace(data, classes=("cat", "eel", "dog")),
        lambda data: replace(data, classes=("cat", 'dog", "eel', "x")),
    ],
    ids=["pixel", "split", "shape", "label", "class order", "class name"],
)
def test_other_contents_have_another_digest(change: Callable[[ImageSet], ImageSet]) -> None:
    assert change(tiny()).digest() != tiny().digest()


def test_name_statistics_and_memory_layout_do_not_change_the_digest() -> None:
    strided = np.asfortranarray(tiny().train_images)
    other = tiny(name="other", mean=(0.1, 0.1), train_images=strided)
    assert other.digest() == other.digest() == tiny().digest()


def test_the_digest_never_changes() -> None:
    """Pinned: run folders hold it, and compare it with the data before they continue."""
    assert tiny().digest() == "439b0dee9dbe0a3ce5b2922f1dd9f6b9757d47f1a69817e1beee4faf433422ad"
