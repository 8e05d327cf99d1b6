"""Evidence that may be looked at after every value: its error rate, its reach, its refusals."""

import numpy as np
import pytest

from recycle_pipeline.evaluators.sequential import (
    evidence_above,
    evidence_below,
    fewest,
    interval,
    threshold,
)
from recycle_pipeline.models.errors import UsageFault


def first_crossing(values, alpha):
    """After how many values the evidence suffices, looked at after each; None if never."""
    counts = range(1, len(values) + 1)
    return next((n for n in counts if evidence_above(values[:n], 0.0) >= threshold(alpha)), None)


@pytest.mark.parametrize("draw", ["standard_normal", "standard_cauchy"])
def test_looking_after_every_value_keeps_the_error_rate_where_there_is_nothing(draw):
    rng = np.random.default_rng(0)
    crossed = sum(first_crossing(getattr(rng, draw)(80), 0.05) is not None for _ in range(300))
    assert crossed <= 300 * 0.05 + 3 * np.sqrt(300 * 0.05 * 0.95)


def test_a_repeated_t_test_does_not_keep_it():
    """What this is for: the naive test, looked at as often, finds something in nothing far too often."""
    from scipy.stats import ttest_1samp

    rng = np.random.default_rng(0)
    found = 0
    for _ in range(100):
        values = rng.standard_normal(80)
        ends = range(5, 81)
        found += any(ttest_1samp(values[:n], 0, alternative="greater").pvalue < 0.05 for n in ends)
    assert found > 15


def test_one_term_of_the_evidence_is_the_hand_computed_product():
    """Of one value: the mean over bets of 1 + tanh(b x)."""
    from recycle_pipeline.evaluators.sequential import BETS

    assert evidence_above([0.02], 0.0) == pytest.approx(np.log(np.mean(1 + np.tanh(BETS * 0.02))))


def test_a_clear_difference_needs_no_more_than_the_fewest_values():
    assert first_crossing([0.3] * 20, 0.005) == fewest(0.01) == 8


def test_one_absurd_outlier_does_not_decide():
    assert first_crossing([50.0] + [-0.001, 0.001] * 10, 0.005) is None


def test_evidence_below_mirrors_evidence_above():
    values = [0.1, -0.2, 0.05]
    assert evidence_below(values, 0.02) == evidence_above([-v for v in values], -0.02)


def test_a_value_equal_to_the_centre_is_no_evidence():
    assert evidence_above([0.0, 0.0], 0.0) == pytest.approx(0.0)


def test_the_interval_covers_the_centre_at_every_look():
    rng = np.random.default_rng(1)
    missed = 0
    for _ in range(100):
        values = (0.03 + 0.02 * rng.standard_normal(30)).tolist()
        found = [interval(values[:n], 0.1) for n in range(6, 31, 6)]
        missed += any(not each.low <= 0.03 <= each.high for each in found)
    assert missed <= 10 + 3 * np.sqrt(9)


def test_the_interval_narrows_and_has_no_bounds_with_few_values():
    rng = np.random.default_rng(2)
    values = (0.01 * rng.standard_normal(60)).tolist()
    few, some, many = (interval(values[:n], 0.01) for n in (5, 15, 60))
    assert np.isinf([few.low, few.high]).all()
    assert many.high - many.low < some.high - some.low


def test_the_interval_is_where_the_evidence_suffices():
    values = np.random.default_rng(3).normal(0.1, 0.05, 25).tolist()
    found = interval(values, 0.01)
    assert evidence_above(values, found.low) == pytest.approx(threshold(0.005), abs=1e-6)
    assert evidence_below(values, found.high) == pytest.approx(threshold(0.005), abs=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0, float("nan")])
def test_a_chance_of_error_that_is_none_is_refused(alpha):
    with pytest.raises(UsageFault, match="expected one between 0 and 1"):
        threshold(alpha)
