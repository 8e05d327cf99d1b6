"""Parity: differences over all logits, agreement of classes, refusals."""

import numpy as np
import pytest

from recycle_pipeline.evaluators.parity import compare
from recycle_pipeline.models.errors import RecycleError, UsageFault

REFERENCE = np.array([[1, 0], [0, 1], [2, 0], [0, 4]], np.float32)


def test_equal_logits_pass_at_tolerance_zero():
    parity = compare(REFERENCE, REFERENCE.copy(), 0)
    assert (parity.max_difference, parity.mean_difference, parity.top1_agreement) == (0, 0, 1)
    assert parity.passed and parity.n == 4 and parity.tolerance == 0


def test_the_largest_difference_decides_wherever_it_is():
    candidate = REFERENCE.copy()
    candidate[2, 1] = -0.5
    assert compare(REFERENCE, candidate, 0.5).passed
    parity = compare(REFERENCE, candidate, 0.49)
    assert not parity.passed
    assert parity.max_difference == 0.5
    assert parity.mean_difference == 0.5 / 8


def test_agreement_counts_images_and_does_not_decide():
    candidate = REFERENCE[:, ::-1].copy()
    candidate[0] = REFERENCE[0]
    parity = compare(REFERENCE, candidate, 10)
    assert parity.top1_agreement == 0.25
    assert parity.passed


def test_a_share_of_the_images_may_be_asked_for_in_place_of_all():
    candidate = REFERENCE.copy()
    candidate[2, 1] = -5
    assert not compare(REFERENCE, candidate, 0.1).passed
    parity = compare(REFERENCE, candidate, 0.1, min_agreement=0.75)
    assert parity.passed and parity.agreement == 0.75 and parity.max_difference == 5
    assert not compare(REFERENCE, candidate, 0.1, min_agreement=0.76).passed


def test_differences_are_taken_in_fp64():
    reference = np.full((1, 2), 3e38, np.float32)
    assert compare(reference, -reference, 1).max_difference == pytest.approx(6e38)


def test_shapes_that_differ_are_refused():
    with pytest.raises(UsageFault, match=r"shape \(4, 2\), the exported model \(3, 2\)"):
        compare(REFERENCE, REFERENCE[:3], 1)
    with pytest.raises(UsageFault, match=r"expected \(N, K\)"):
        compare(REFERENCE[0], REFERENCE[0], 1)


@pytest.mark.parametrize("tolerance", [-1e-9, float("nan"), float("inf")])
def test_a_tolerance_that_is_no_bound_is_refused(tolerance):
    with pytest.raises(UsageFault, match="parity tolerance"):
        compare(REFERENCE, REFERENCE, tolerance)


def test_the_side_that_is_not_finite_is_named():
    broken = REFERENCE.copy()
    broken[3, 0] = np.nan
    with pytest.raises(RecycleError, match=r"the exported model's logits are not finite in 1 of 4"):
        compare(REFERENCE, broken, 1)
    with pytest.raises(RecycleError, match=r"the reference's logits are not finite"):
        compare(broken, REFERENCE, 1)
