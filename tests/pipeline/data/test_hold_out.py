"""Held-out images: a part of the train split, the same each time, and nothing of the test split."""

import numpy as np
import pytest

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.data.hold_out import held_out


def rows(pixels):
    return sorted(image.tobytes() for image in pixels)


def test_the_train_split_is_parted_and_the_test_split_is_gone(image_set):
    images = image_set(train=60, test=12)
    parted = held_out(images, 15)
    assert (len(parted.train_labels), len(parted.test_labels)) == (45, 15)
    assert rows([*parted.train_images, *parted.test_images]) == rows(images.train_images)
    pairs = {
        image.tobytes(): label for image, label in zip(images.train_images, images.train_labels, strict=True)
    }
    for pixels, labels in (
        (parted.train_images, parted.train_labels),
        (parted.test_images, parted.test_labels),
    ):
        assert all(pairs[image.tobytes()] == label for image, label in zip(pixels, labels, strict=True))
    assert (parted.mean, parted.std, parted.classes) == (images.mean, images.std, images.classes)


def test_the_same_are_held_out_each_time_and_a_larger_part_holds_the_smaller(image_set):
    images = image_set(train=60)
    first, again, more = held_out(images, 15), held_out(images, 15), held_out(images, 30)
    assert np.array_equal(first.test_images, again.test_images)
    assert set(rows(first.test_images)) < set(rows(more.test_images))


def test_the_choice_does_not_follow_the_order_of_the_images(image_set):
    """Data sets may be sorted by class: of each third, 500 of 1500 +- 5 standard deviations of 18."""
    images = image_set(train=1500, side=2, test=3)
    images.train_images[:, 0, 0, 0] = np.arange(1500) // 500
    thirds = np.bincount(held_out(images, 500).test_images[:, 0, 0, 0], minlength=3)
    assert all(76 < share < 257 for share in thirds)


def test_what_is_held_out_says_so(image_set):
    images = image_set(train=60)
    assert held_out(images, 15).held_out and not images.held_out


@pytest.mark.parametrize("count", [0, -1, 24, 25])
def test_a_count_that_leaves_a_split_empty_is_refused(image_set, count):
    with pytest.raises(UsageFault, match=f"--hold-out {count}: noise has 24 train images; expected 1 to 23"):
        held_out(image_set(train=24), count)


def test_a_count_that_takes_all_images_of_a_class_is_refused_by_its_name(image_set):
    message = "--hold-out 23 of 24 train images of noise leaves none of class 'class[012]' to train with"
    with pytest.raises(UsageFault, match=message):
        held_out(image_set(train=24), 23)


def test_a_class_without_train_images_is_none_that_holding_out_loses(image_set):
    images = image_set(train=60)
    images.train_labels[images.train_labels == 2] = 1
    assert len(held_out(images, 15).test_labels) == 15
