"""Accuracy gained and lost on the same images, with the interval of a paired difference."""

import numpy as np
import pytest

from recycle_pipeline.evaluators.change import Change, change


def test_images_are_counted_where_one_model_is_right_alone():
    labels = np.array([0, 0, 0, 0, 1])
    right, wrong = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    before = np.stack([right, right, wrong, right, wrong])
    after = np.stack([wrong, right, right, wrong, wrong])
    found = change(before, after, labels)
    assert found == Change(lost=2, gained=1, n=5)
    assert found.drop == pytest.approx(0.2)
    assert str(found).endswith("n = 5 images, 2 lost and 1 gained")


def test_the_interval_is_agresti_and_mins():
    """A half is added to each of the four cells, then it is Wald's."""
    lost, gained, n = 6, 16, 80
    b, c, total = lost + 0.5, gained + 0.5, n + 2
    half = 1.959963984540054 * np.sqrt(b + c - (c - b) ** 2 / total) / total
    assert Change(lost, gained, n).interval == pytest.approx(((c - b) / total - half, (c - b) / total + half))


def test_it_covers_the_truth_as_often_as_it_says():
    rng, hits, times = np.random.default_rng(0), 0, 2000
    for _ in range(times):
        lost, gained, _ = rng.multinomial(364, [0.02, 0.01, 0.97])
        low, high = Change(int(lost), int(gained), 364).interval
        hits += low <= -0.01 <= high
    assert 0.935 < hits / times < 0.985


def test_models_that_agree_everywhere_still_have_an_interval():
    low, high = Change(0, 0, 364).interval
    assert -0.01 < low < 0 < high < 0.01
