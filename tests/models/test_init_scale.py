"""Init scale: three fan rules by hand, and the score bound."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recycle_pipeline.models.draws import INITS
from recycle_pipeline.models.init_scale import SCALE_FANS, init_scale, score_bound

SHAPE = (8, 2, 3, 3)  # fan_in 18


@pytest.mark.parametrize(
    ("rule", "normal", "uniform"),
    [
        ("keep", 0.6666667, 1.1547005),  # fan 18 * 0.25 = 4.5: sqrt(2 / 4.5), sqrt(6 / 4.5)
        ("none", 0.3333333, 0.5773503),  # fan 18
        ("published", 0.3849002, 0.6666667),  # fan 18 * 0.75 = 13.5
    ],
)
def test_each_rule_gives_the_scale_worked_out_by_hand(rule, normal, uniform):
    assert init_scale(SHAPE, "kaiming_normal", rule, 0.75) == pytest.approx(normal, rel=2e-7)
    assert init_scale(SHAPE, "signed_constant", rule, 0.75) == pytest.approx(normal, rel=2e-7)
    assert init_scale(SHAPE, "kaiming_uniform", rule, 0.75) == pytest.approx(uniform, rel=2e-7)


def test_a_kept_fraction_of_03_is_the_documented_disagreement():
    """allenai/hidden-networks, issue 9: 1.195 where 1.826 is meant."""
    plain, kept, published = (
        float(init_scale((64, 576), "kaiming_normal", rule, 0.7)) for rule in ("none", "keep", "published")
    )
    assert kept / plain == pytest.approx(1.826, abs=5e-4)
    assert published / plain == pytest.approx(1.195, abs=5e-4)


@pytest.mark.parametrize("init", INITS)
def test_keep_and_published_agree_at_one_half_and_only_there(init):
    assert init_scale(SHAPE, init, "keep", 0.5) == init_scale(SHAPE, init, "published", 0.5)
    assert init_scale(SHAPE, init, "keep", 0.4) != init_scale(SHAPE, init, "published", 0.4)


@given(st.sampled_from(INITS), st.floats(0.01, 0.99))
@settings(deadline=None)
def test_without_a_rule_the_prune_rate_does_not_matter(init, prune):
    assert init_scale(SHAPE, init, "none", prune) == init_scale(SHAPE, init, "none", 0.5)


@pytest.mark.parametrize("rule", SCALE_FANS)
def test_uniform_and_normal_have_one_standard_deviation(rule):
    uniform = init_scale(SHAPE, "kaiming_uniform", rule, 0.8) / np.sqrt(3)
    assert uniform == pytest.approx(init_scale(SHAPE, "kaiming_normal", rule, 0.8), rel=1e-6)


def test_fan_counts_all_but_the_first_dimension():
    assert init_scale((1000, 8), "kaiming_normal", "none", 0.5) == np.float32(0.5)
    assert init_scale((1, 2, 2, 2), "kaiming_normal", "none", 0.5) == np.float32(0.5)


def test_score_bound_is_one_over_the_root_of_fan_in():
    assert score_bound((64, 64, 3, 3)) == pytest.approx(0.0416667, rel=1e-6)
    assert score_bound((10, 4)) == np.float32(0.5)


def test_scales_are_float32():
    """The ticket stores the scale's bits; a float64 would be rounded on the way."""
    assert isinstance(init_scale(SHAPE, "kaiming_normal", "keep", 0.9), np.float32)
    assert isinstance(score_bound(SHAPE), np.float32)


def test_signed_scores_have_the_wider_bound_of_relus_gain():
    """Fan_in 576, by hand: 0.04167 and 0.10206."""
    assert score_bound((64, 64, 3, 3), "magnitude") == pytest.approx(0.04167, abs=5e-6)
    assert score_bound((64, 64, 3, 3), "signed") == pytest.approx(0.10206, abs=5e-6)
