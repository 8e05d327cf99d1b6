"""Verdicts on contrasts of known noise: pass, regression, inconclusive, and the floor. No clock is used."""

import numpy as np
import pytest

from recycle_pipeline.evaluators.blocks import Contrast, contrast
from recycle_pipeline.evaluators.slowdown import bootstrap, centre, judge, rank_test
from recycle_pipeline.models.errors import UsageFault


def blocks(ratio, n, noise=0.005, floor=None, seed=0):
    rng = np.random.default_rng(seed)
    floor = noise if floor is None else floor
    return [
        Contrast(float(np.log(ratio) + noise * rng.standard_normal()), float(floor * rng.standard_normal()))
        for _ in range(n)
    ]


@pytest.mark.parametrize(
    ("ratio", "outcome"),
    [
        (0.5, "pass"),
        (1.0, "pass"),
        (1.02, "pass"),
        (1.05, "inconclusive"),
        (1.08, "regression"),
        (2, "regression"),
    ],
)
def test_a_ratio_on_either_side_of_the_limit_is_told(ratio, outcome):
    assert judge(blocks(ratio, 20), 1.05, 0.01).outcome == outcome


def test_what_is_just_below_the_limit_is_no_pass():
    """A tenth of the allowed 5 % must be left, however sharp the interval."""
    found = [judge(blocks(ratio, 60, noise=0.002), 1.05, 0.01) for ratio in (1.042, 1.048)]
    assert [each.outcome for each in found] == ["pass", "inconclusive"]
    assert found[1].high < 1.05


def test_eight_blocks_are_the_fewest_for_a_verdict():
    found = [judge(blocks(2.0, n), 1.05, 0.01) for n in (7, 8)]
    assert [each.outcome for each in found] == ["inconclusive", "regression"]
    assert "7 blocks were measured in the time, and a verdict takes 8" in found[0].reason


def test_a_limit_under_the_noise_floor_never_passes():
    found = judge(blocks(0.9, 20, noise=0.001, floor=0.08), 1.02, 0.01)
    assert found.noise_floor > 0.02
    assert (found.outcome, found.speed) == ("inconclusive", "faster")
    assert "below the noise floor" in found.reason


def test_what_is_slower_than_limit_and_floor_is_a_regression_still():
    assert judge(blocks(2.0, 20, floor=0.05), 1.01, 0.01).outcome == "regression"


def test_a_limit_of_no_slowdown_cannot_pass_a_model_that_is_the_same():
    assert judge(blocks(1.0, 60), 1.0, 0.01).outcome == "inconclusive"


def test_faster_is_said_only_where_no_interval_includes_one():
    assert judge(blocks(1.0, 30), 1.05, 0.01).speed == "not told apart"
    assert judge(blocks(0.9, 30), 1.05, 0.01).speed == "faster"
    assert judge(blocks(1.02, 30), 1.05, 0.01).speed == "slower"
    assert judge(blocks(0.9, 5), 1.05, 0.01).speed == "not told apart"


def test_equal_models_hardly_ever_fail_though_each_block_is_looked_at():
    alarms = 0
    for seed in range(24):
        some = blocks(1.0, 24, noise=0.04, seed=seed)
        alarms += any(judge(some[:n], 1.05, 0.01).outcome == "regression" for n in range(8, 25, 4))
    assert alarms == 0


def test_the_contrast_of_a_block_is_the_hand_computed_one():
    found = contrast(np.array([1.0, 2.0, 4.0, 8.0]))
    assert found.between == pytest.approx(np.log(4))  # sqrt(4 * 8) / sqrt(1 * 2)
    assert found.within == pytest.approx(-np.log(2))


def test_the_centre_is_the_median_of_the_means_of_pairs():
    assert centre(np.array([0.0, 1.0, 10.0])) == 3.0  # of 0, 0.5, 1, 5, 5.5, 10


def test_the_bootstrap_interval_holds_the_centre_of_most_samples():
    rng = np.random.default_rng(0)
    found = [bootstrap(rng.standard_normal(20)) for _ in range(60)]
    assert sum(low <= 0 <= high for low, high in found) >= 51


def test_the_rank_test_is_exact_for_few_values():
    assert rank_test(np.array([0.1, 0.2, 0.3])) == (pytest.approx(1 / 8), pytest.approx(1.0))
    assert rank_test(np.zeros(4)) == (1.0, 1.0)


@pytest.mark.parametrize("limit", [0.0, -1.0, float("inf"), float("nan")])
def test_a_limit_that_is_no_ratio_is_refused(limit):
    with pytest.raises(UsageFault, match="above 0"):
        judge(blocks(1.0, 9), limit, 0.01)


def test_no_blocks_are_refused():
    with pytest.raises(UsageFault, match="0 blocks"):
        judge([], 1.05, 0.01)
