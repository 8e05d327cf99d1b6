"""Baselines that are numbers: two samples of contrasts, whose centres and noise are known."""

import numpy as np
import pytest

from recycle_pipeline.evaluators.blocks import Contrast
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
