"""Numbers with n and interval: what the intervals cover, and where there is none."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recycle_pipeline.evaluators.accuracy import wilson
from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.report.estimate import mean, proportion, quantile, ratio

SAMPLES = st.lists(st.floats(0.001, 1e6), min_size=1, max_size=200)


@given(SAMPLES, st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_a_quantile_is_numpys_and_lies_in_its_interval(samples, fraction):
    found = quantile(samples, fraction)
    assert found.value == pytest.approx(np.percentile(samples, 100 * fraction))
    assert found.n == len(samples)
    if found.interval:
        low, high = found.interval
        assert low <= found.value <= high and {low, high} <= set(samples)


@pytest.mark.parametrize("fraction", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("n", [8, 30, 100, 1000])
def test_its_interval_covers_the_true_quantile_in_95_of_100_cases(n, fraction):
    """By the binomial distribution: the number of samples below the quantile lies between the ranks."""
    found = quantile([float(rank) for rank in range(1, n + 1)], fraction)
    if found.interval is None:
        assert n * fraction + 2 * math.sqrt(n * fraction * (1 - fraction)) + 1 > n or n < 8
        return
    low, high = (int(rank) for rank in found.interval)
    chance = sum(
        math.comb(n, below) * fraction**below * (1 - fraction) ** (n - below) for below in range(low, high)
    )
    assert chance >= 0.945


def test_too_few_samples_have_no_interval():
    assert quantile([1.0, 2.0, 3.0], 0.5).interval is None
    assert quantile([1.0] * 100, 0.99).interval is None


def test_a_proportion_has_wilsons_interval():
    found = proportion(0.75, 400)
    assert (found.interval, found.n) == (wilson(300, 400), 400)


@pytest.mark.parametrize(("value", "n"), [(1.1, 10), (-0.1, 10), (float("nan"), 10), (0.5, 0)])
def test_what_is_no_proportion_is_refused(value, n):
    with pytest.raises(UsageFault, match="expected 0 to 1"):
        proportion(value, n)


def test_a_mean_has_students_interval():
    """1, 2, 3: mean 2, standard error 1 / sqrt(3), t = 4.303 at two degrees of freedom."""
    found = mean([1.0, 2.0, 3.0])
    assert found.interval == pytest.approx((2 - 4.303 / math.sqrt(3), 2 + 4.303 / math.sqrt(3)))


def test_one_value_has_no_interval():
    assert mean([0.5]).interval is None


def test_an_interval_of_many_values_is_not_narrower_than_it_should_be():
    values = [float(value) for value in range(40)]
    low, high = mean(values).interval
    half = 2.023 * np.std(values, ddof=1) / math.sqrt(40)  # t at 39 degrees of freedom
    assert (high - low) / 2 >= half


@pytest.mark.parametrize(("more", "n", "of"), [({}, 70, "rounds"), ({"sessions": 6}, 6, "pairs of sessions")])
def test_a_ratio_keeps_its_interval_and_says_what_that_is_over(more, n, of):
    found = ratio({"ratio": 1.0, "low": 0.9, "high": 1.2, "n": 70} | more)
    assert (found.value, found.interval, found.n, found.of) == (1.0, (0.9, 1.2), n, of)
