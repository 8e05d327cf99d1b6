"""The data set that is always there."""

import numpy as np

from recycle_pipeline.pipeline.data import Augmentation, load


def test_digits_are_1797_gray_images_of_8_pixels() -> None:
    data = load("digits")
    assert data.train_images.shape == (1433, 1, 8, 8)
    assert data.test_images.shape == (364, 1, 8, 8)
    assert data.classes == tuple("0123456789")
    assert data.augmentation == Augmentation(pad=0, flip=False, noise=0.1)
    assert sorted({*np.unique(data.train_images)}) == [round(value * 255 / 16) for value in range(17)]


def test_every_digit_has_a_fifth_of_its_images_in_test() -> None:
    data = load("digits")
    train, test = np.bincount(data.train_labels), np.bincount(data.test_labels)
    assert test.tolist() == [-(-int(count) // 5) for count in train + test]


def test_statistics_are_those_of_the_train_images() -> None:
    data = load("digits")
    pixels = data.train_images / 255
    np.testing.assert_allclose([*data.mean, *data.std], [pixels.mean(), pixels.std()], rtol=1e-12)


def test_the_digits_and_their_split_never_change() -> None:
    """Pinned: accuracies published with this package were measured on exactly this split."""
    assert load("digits").digest() == "0a4078830494fb6f4da3ed387d0436a239b9c5467cbdfabd0105b6a6f86f4cb6"
