"""Baselines that are numbers: two samples of contrasts, whose centres and noise are known."""

import numpy as np
import pytest

from recycle_pipeline.evaluators.blocks import Contrast, contrast
from recycle_pipeline.evaluators.stored import judge_apart


def blocks(ratio, n, noise, seed):
    rng = np.random.default_rng(seed)
    return [
        Contrast(float(np.log(ratio) + noise * rng.standard_normal()), float(noise * rng.standard_normal()))
        for _ in range(n)
    ]


@pytest.mark.parametrize(
    ("ratio", "outcome"), [(1.0, "pass"), (0.7, "pass"), (1.05, "inconclusive"), (1.2, "regression")]
)
def test_the_ratio_of_two_ratios_to_the_reference_is_judged(ratio, outcome):
    found = judge_apart(blocks(0.25, 25, 0.004, 1), blocks(0.25 * ratio, 25, 0.004, 2), 1.05, 0.01)
    assert found.outcome == outcome
    assert found.ratio == pytest.approx(ratio, rel=0.01)
    assert found.low < ratio < found.high


def test_noise_of_either_job_counts():
    quiet, noisy = blocks(0.25, 25, 0.001, 1), blocks(0.25, 25, 0.2, 2)
    for pair in ((quiet, noisy), (noisy, quiet)):
        found = judge_apart(*pair, 1.05, 0.01)
        assert (found.outcome, found.noise_floor > 0.05) == ("inconclusive", True)


def test_few_blocks_on_either_side_decide_nothing():
    many, few = blocks(0.25, 25, 0.004, 1), blocks(2.5, 5, 0.004, 2)
    assert judge_apart(many, few, 1.05, 0.01).outcome == "inconclusive"
    assert judge_apart(few, many, 1.05, 0.01).outcome == "inconclusive"


def test_a_machine_that_takes_three_times_as_long_for_everything_changes_nothing():
    """The one difference between machines that a reference takes away whole."""
    rng = np.random.default_rng(3)
    times = np.exp(0.004 * rng.standard_normal((25, 4))) * [4.0, 4.0, 1.0, 1.0]  # reference, model; ms
    here, there = ([contrast(block) for block in factor * times] for factor in (1.0, 3.0))
    for one, other in zip(here, there, strict=True):
        assert one.between == pytest.approx(other.between) and one.within == pytest.approx(other.within)
    assert judge_apart(here, there, 1.05, 0.01).outcome == "pass"


def test_a_machine_that_favours_other_operators_looks_like_a_slower_model():
    """What no reference takes away; the report's note says it, and no interval covers it."""
    stored = blocks(0.25, 25, 0.002, 1)
    elsewhere = blocks(0.25 * 1.08, 25, 0.002, 2)  # the same model, the reference sped up by more
    assert judge_apart(stored, elsewhere, 1.05, 0.01).outcome == "regression"
