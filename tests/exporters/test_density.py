"""Densities of filters and their scale, by numbers worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recycle_pipeline.exporters.density import Scale, filter_densities, scale_for


def test_a_filter_is_one_output_and_the_densest_comes_first():
    mask = np.zeros((3, 2, 2, 1), bool)
    mask[1] = True
    mask[2, 0, 0] = True
    assert filter_densities(mask).tolist() == [1.0, 0.25, 0.0]
    assert filter_densities(np.array([[False, True]])).tolist() == [0.5]
    assert filter_densities(np.array([False, True])).tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("densities", "ends"),
    [
        ([0.1], (0.01, 0.1)),
        ([0.05, 0.16], (0.02, 0.2)),
        ([0.012, 0.94, 0.0], (0.01, 1.0)),
        ([1.0, 1.0], (0.1, 1.0)),
        ([0.0], (0.1, 1.0)),
        ([0.5, 0.0003], (0.0002, 0.5)),
    ],
)
def test_the_ends_are_round_and_hold_every_density_but_0(densities, ends):
    scale = scale_for([np.array(densities)])
    assert (scale.low, scale.high) == pytest.approx(ends)


@given(hnp.arrays(float, st.integers(1, 20), elements=st.floats(2.0**-30, 1)))
def test_any_densities_lie_on_their_scale_in_order(densities):
    scale = scale_for([densities])
    assert scale.low <= densities.min() * 1.002 and densities.max() <= scale.high * 1.002
    assert scale.high / scale.low > 9.9
    positions = scale.position(np.sort(densities))
    assert (np.diff(positions) >= 0).all() and 0 <= positions.min() <= positions.max() <= 1


def test_positions_are_logarithmic_and_0_is_at_the_low_end():
    positions = Scale(0.01, 1.0).position(np.array([0.0, 0.01, 0.1, 1.0]))
    assert positions.tolist() == pytest.approx([0, 0, 0.5, 1])


def test_ticks_are_the_ends_then_powers_of_ten_then_the_rest():
    ticks = Scale(0.02, 1.0).ticks()
    assert ticks == pytest.approx([0.02, 1.0, 0.1, 0.05, 0.2, 0.5])
