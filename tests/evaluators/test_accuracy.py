"""Top-1 accuracy: batches, counts, Wilson's interval and refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recycle_pipeline.evaluators.accuracy import accuracy, predict_all, require_logits, wilson
from recycle_pipeline.models.errors import RecycleError, UsageFault


def logits_of(images):
    """(b, 1, 2, 2) to (b, 4) logits."""
    return images.reshape(len(images), -1) * 2


@given(n=st.integers(1, 20), batch_size=st.integers(1, 25))
def test_the_batch_size_does_not_change_the_logits(n, batch_size):
    images = np.arange(n * 4, dtype=np.float32).reshape(n, 1, 2, 2)
    logits = predict_all(logits_of, images, batch_size)
    assert logits.dtype == np.float32
    np.testing.assert_array_equal(logits, logits_of(images))


def test_no_batch_is_larger_than_asked_for():
    sizes = []

    def predict(images):
        sizes.append(len(images))
        return logits_of(images)

    predict_all(predict, np.zeros((10, 1, 2, 2), np.float32), 4)
    assert sizes == [4, 4, 2]


def test_logits_of_other_precisions_become_fp32():
    for dtype in (np.float16, np.float64):
        images = np.ones((3, 1, 2, 2), dtype)
        assert predict_all(logits_of, images, 2).dtype == np.float32


def test_logits_beyond_fp32_are_refused_as_not_finite():
    logits = predict_all(lambda images: np.full((len(images), 2), 1e300), np.zeros((3, 1)), 2)
    with pytest.raises(RecycleError, match="not finite in 3 of 3 rows"):
        require_logits("the logits", logits)


@pytest.mark.parametrize(("n", "batch_size"), [(0, 4), (4, 0), (4, -1)])
def test_nothing_to_run_is_refused(n, batch_size):
    with pytest.raises(UsageFault, match=f"{n} images in batches of {batch_size}"):
        predict_all(logits_of, np.zeros((n, 1, 2, 2)), batch_size)


@pytest.mark.parametrize("shape", [(3,), (2, 4), (3, 4, 1)])
def test_an_output_that_is_not_one_row_per_image_is_refused(shape):
    with pytest.raises(UsageFault, match=r"for 3 images; expected \(3, K\) logits"):
        predict_all(lambda images: np.zeros(shape), np.zeros((3, 1)), 3)


def test_accuracy_counts_the_largest_logit():
    logits = np.array([[1, 2, 3], [3, 2, 1], [0, 5, 0], [9, 0, 0]], np.float32)
    result = accuracy(logits, np.array([2, 0, 1, 1]))
    assert (result.top1, result.correct, result.n) == (0.75, 3, 4)
    assert (result.low, result.high) == wilson(3, 4)


def test_equal_logits_count_as_the_first_class():
    assert accuracy(np.zeros((4, 3), np.float32), np.array([0, 0, 1, 2])).correct == 2


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_intervals(correct, n, low, high):
    assert wilson(correct, n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_contains_the_fraction_and_stays_within_zero_and_one(counts):
    correct, n = counts
    low, high = wilson(correct, n)
    assert 0 <= low <= correct / n <= high <= 1
    assert high - low > 0


def test_wilson_covers_the_truth_in_about_95_percent():
    draws = np.random.default_rng(0).binomial(360, 0.97, 2000)
    covered = [low <= 0.97 <= high for low, high in (wilson(int(k), 360) for k in draws)]
    assert 0.93 < np.mean(covered) < 0.98


@pytest.mark.parametrize(("correct", "n"), [(-1, 3), (4, 3), (0, 0)])
def test_wilson_refuses_impossible_counts(correct, n):
    with pytest.raises(UsageFault, match=f"{correct} correct of {n}"):
        wilson(correct, n)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_named(bad):
    logits = np.zeros((5, 3), np.float32)
    logits[[2, 4], 1] = bad
    with pytest.raises(RecycleError, match=r"the logits are not finite in 2 of 5 rows \(first: image 2\)"):
        accuracy(logits, np.zeros(5, np.int64))


@pytest.mark.parametrize("shape", [(3,), (0, 3), (3, 0), (2, 3, 4)])
def test_logits_of_another_shape_are_refused(shape):
    with pytest.raises(UsageFault, match=r"expected \(N, K\)"):
        accuracy(np.zeros(shape, np.float32), np.zeros(3, np.int64))


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.zeros(4, np.int64), r"shape \(4,\); expected integers of shape \(3,\)"),
        (np.zeros((3, 1), np.int64), r"shape \(3, 1\)"),
        (np.zeros(3, np.float32), "labels are float32"),
        (np.array([0, 1, 2]), "labels range from 0 to 2; expected 0 to 1"),
        (np.array([-1, 1, 0]), "labels range from -1 to 1"),
    ],
)
def test_labels_that_do_not_fit_the_logits_are_refused(labels, said):
    with pytest.raises(UsageFault, match=said):
        accuracy(np.zeros((3, 2), np.float32), labels)


def test_unsigned_labels_are_labels():
    assert accuracy(np.eye(3, dtype=np.float32), np.arange(3, dtype=np.uint8)).top1 == 1
