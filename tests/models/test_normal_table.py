"""The half-normal table: its bits, its distance from rounding ties, and the true quantiles."""

import hashlib

import numpy as np
import pytest

from recycle_pipeline.models import normal_table
from recycle_pipeline.models.errors import RecycleError
from recycle_pipeline.models.normal_table import half_normal, quantiles


def test_the_table_never_changes():
    """Every normal weight of every ticket is an entry of it: the digest must not be updated."""
    digest = hashlib.sha256(half_normal().astype("<f4").tobytes()).hexdigest()
    assert digest == "f592bfa4a4bdf855bcb19c0c3cd289b6740cdff1af7c24dc819f74ff7474d819"


def test_no_entry_lies_near_a_tie_between_two_float32():
    """So an error of inv_cdf of up to 1e-13 (relative) cannot change a rounded entry."""
    exact = quantiles()
    rounded = exact.astype(np.float32)
    for side in (np.float32(0), np.float32(np.inf)):
        tie = (rounded.astype(np.float64) + np.nextafter(rounded, side).astype(np.float64)) / 2
        assert (np.abs(exact - tie) / exact).min() > 1e-13


def test_entries_are_positive_and_ascend():
    exact = quantiles()
    assert exact[0] > 0
    assert (np.diff(exact) > 0).all()
    assert (np.diff(half_normal()) >= 0).all()


def test_entries_are_the_quantiles_of_a_half_normal():
    special = pytest.importorskip("scipy.special", reason="scipy is not installed")
    expected = special.ndtri(0.5 + (np.arange(65536) + 0.5) / 131072)
    np.testing.assert_allclose(quantiles(), expected, rtol=1e-11)  # 1 / p near 1/2 costs ndtri 5 digits


def test_size_and_extremes_are_those_of_the_docstring():
    table = half_normal()
    assert table.shape == (65536,) and table.dtype == np.float32
    assert table[-1] == pytest.approx(4.4753, abs=5e-5)
    assert np.sqrt((table.astype(np.float64) ** 2).mean()) == pytest.approx(1 - 5.1e-6, abs=1e-7)


def test_the_table_cannot_be_written_to():
    with pytest.raises(ValueError, match="read-only"):
        half_normal()[0] = 1.0


def test_a_platform_that_computes_another_table_is_refused(monkeypatch):
    wrong = quantiles()
    wrong[100] *= 1 + 1e-6
    monkeypatch.setattr(normal_table, "quantiles", lambda: wrong)
    with pytest.raises(RecycleError, match=r"has digest [0-9a-f]{16}, expected f592bfa4a4bdf855"):
        half_normal.__wrapped__()  # past the cache
