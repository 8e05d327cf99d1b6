"""Training batches against a numpy reference: crops, flips, order, normalisation."""

import dataclasses

import numpy as np
import pytest
import torch

from recycle_pipeline.pipeline.search.batches import Normalise, TrainingImages


def normalised(images, pixels):
    mean, std = (np.array(v, np.float32).reshape(-1, 1, 1) for v in (images.mean, images.std))
    return (pixels.astype(np.float32) / np.float32(255) - mean) / std


def variants(images, index):
    """Reference: (row shift, column shift, flipped) by the bytes of that crop of an image, normalised."""
    pad, side = images.augmentation.pad, images.image_size
    padded = np.pad(images.train_images[index], ((0, 0), (pad, pad), (pad, pad)))
    return {
        normalised(images, crop[:, :, ::-1] if flipped else crop).tobytes(): (y, x, flipped)
        for y in range(2 * pad + 1)
        for x in range(2 * pad + 1)
        for flipped in ((False, True) if images.augmentation.flip else (False,))
        for crop in [padded[:, y : y + side, x : x + side]]
    }


def epoch_of(training, batch_size):
    """(N, C, S, S) and (N,): one epoch, joined."""
    batches = list(training.epoch(batch_size))
    return torch.cat([b for b, _ in batches]).numpy(), torch.cat([labels for _, labels in batches]).numpy()


@pytest.fixture
def labelled(image_set):
    """13 images of 13 classes: the label tells which image it was."""
    return lambda **options: image_set(train=13, test=13, classes=13, **options)


@pytest.mark.parametrize(
    ("pad", "flip", "channels"), [(2, True, 3), (1, False, 1), (0, True, 2), (0, False, 3)]
)
def test_each_image_is_one_of_its_possible_crops_and_flips(labelled, cpu, pad, flip, channels):
    images = labelled(pad=pad, flip=flip, channels=channels, side=5)
    training = TrainingImages(images, cpu, seed=3)
    possible = [variants(images, index) for index in range(13)]
    seen = set()
    for _ in range(60):
        for image, label in zip(*epoch_of(training, 5), strict=True):
            seen.add(possible[label][image.tobytes()])
    assert seen == set(possible[0].values())  # 780 images: each of at most 50 variants occurs


@pytest.mark.parametrize("cutout", [1, 2, 4])
def test_a_cutout_is_one_square_at_the_mean_and_nothing_else_changes(labelled, cpu, cutout):
    images = labelled(pad=2, flip=True, side=7, channels=3)
    augmentation = dataclasses.replace(images.augmentation, cutout=cutout)
    cut = TrainingImages(dataclasses.replace(images, augmentation=augmentation), cpu, seed=3)
    plain = TrainingImages(images, cpu, seed=3)  # the first epoch's other draws come before
    (ours, labels), (theirs, same) = epoch_of(cut, 5), epoch_of(plain, 5)
    assert (labels == same).all()
    sizes = set()
    for image, whole in zip(ours, theirs, strict=True):
        rows, columns = np.nonzero((image != whole).any(0))
        hole = np.zeros((7, 7), bool)
        hole[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
        assert (image[:, hole] == 0).all() and (image[:, ~hole] == whole[:, ~hole]).all()
        assert max(np.ptp(rows), np.ptp(columns)) < cutout
        sizes.add((np.ptp(rows) + 1, np.ptp(columns) + 1))
    assert (cutout, cutout) in sizes


def test_crops_and_flips_are_drawn_for_each_image_alone(labelled, cpu):
    images = labelled(pad=2, flip=True, side=5)
    pictures, labels = epoch_of(TrainingImages(images, cpu, seed=0), 13)
    chosen = [
        variants(images, label)[picture.tobytes()] for picture, label in zip(pictures, labels, strict=True)
    ]
    assert all(len(set(values)) > 1 for values in zip(*chosen, strict=True))
    assert len({y == x for y, x, _ in chosen}) == 2  # rows and columns shift apart


def test_about_half_of_the_images_are_mirrored(image_set, cpu):
    images = image_set(train=600, test=3, flip=True, side=4)
    pictures, _ = epoch_of(TrainingImages(images, cpu, seed=0), 600)
    plain = {normalised(images, pixels).tobytes() for pixels in images.train_images}
    mirrored = sum(picture.tobytes() not in plain for picture in pictures)
    assert 240 < mirrored < 360  # 300 +- 5 standard deviations of 12.2


def test_noise_has_the_asked_spread_and_is_new_in_every_epoch(image_set, cpu):
    """64 x 600 values: the spread is known to 0.4 %."""
    images = image_set(train=600, test=3, noise=0.1)
    training = TrainingImages(images, cpu, seed=0)
    noises = []
    for _ in range(2):
        pictures, _ = epoch_of(training, 600)
        order = training._order.numpy()
        noises.append((pictures - normalised(images, images.train_images[order])) * images.std[0])
    for noise in noises:
        assert noise.std() == pytest.approx(0.1, rel=0.02)
        assert abs(noise.mean()) < 0.003
    assert abs(np.corrcoef(noises[0].ravel(), noises[1].ravel())[0, 1]) < 0.03


@pytest.mark.parametrize("batch_size", [2, 4, 6, 13, 100])
def test_every_image_is_seen_once_an_epoch_but_a_last_batch_of_one(labelled, cpu, batch_size):
    """13 images: batches of 4 and 6 leave one image, which batch norm could not take."""
    training = TrainingImages(labelled(), cpu, seed=0)
    sizes = [len(labels) for _, labels in training.epoch(batch_size)]
    _, labels = epoch_of(training, batch_size)
    dropped = 1 if 13 % batch_size == 1 else 0
    assert len(set(labels)) == len(labels) == 13 - dropped
    assert len(sizes) == len(training.batch_sizes(batch_size))
    assert sizes[:-1] == [batch_size] * (len(sizes) - 1) and min(sizes) > 1


@pytest.mark.parametrize(
    ("train", "batch", "steps"), [(13, 4, 3), (14, 4, 4), (12, 4, 3), (3, 64, 1), (1433, 64, 23)]
)
def test_the_number_of_steps(image_set, cpu, train, batch, steps):
    assert len(TrainingImages(image_set(train=train, side=2), cpu, seed=0).batch_sizes(batch)) == steps


def test_over_epochs_the_dropped_image_is_another(labelled, cpu):
    training = TrainingImages(labelled(), cpu, seed=0)
    dropped = {frozenset(range(13)) - set(epoch_of(training, 4)[1]) for _ in range(10)}
    assert len(dropped) > 1


def test_one_seed_gives_one_sequence_and_epochs_differ(labelled, cpu):
    images = labelled(pad=2, flip=True)
    first, again, other = (TrainingImages(images, cpu, seed) for seed in (5, 5, 6))
    epochs = [[epoch_of(training, 13) for _ in range(2)] for training in (first, again, other)]
    for (pictures, labels), (same_pictures, same_labels) in zip(epochs[0], epochs[1], strict=True):
        assert np.array_equal(pictures, same_pictures) and np.array_equal(labels, same_labels)
    assert not np.array_equal(epochs[0][0][1], epochs[0][1][1])
    assert not np.array_equal(epochs[0][0][1], epochs[2][0][1])


def test_the_largest_seed_is_taken(labelled, cpu):
    assert len(epoch_of(TrainingImages(labelled(), cpu, 2**63 - 1), 13)[1]) == 13


def test_neither_torchs_nor_numpys_global_generator_matters(labelled, cpu):
    orders = []
    for global_seed in (0, 1):
        torch.manual_seed(global_seed)
        np.random.seed(global_seed)
        orders.append(epoch_of(TrainingImages(labelled(), cpu, 0), 13)[1])
    assert np.array_equal(*orders)


def test_normalising_is_pixels_over_255_minus_mean_over_std(image_set, cpu):
    images = image_set(channels=3)
    given = Normalise(images, cpu)(torch.from_numpy(images.test_images))
    assert given.dtype == torch.float32
    assert np.array_equal(given.numpy(), normalised(images, images.test_images))
