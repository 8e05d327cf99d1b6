"""Numpy's side of packing: levels, gaps and planes, trits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recycle_pipeline.exporters.onnx.compact import gaps, trits
from recycle_pipeline.exporters.onnx.compact.levels import levels_of

PLACES = st.lists(st.integers(0, 3000), unique=True).map(lambda found: np.array(sorted(found), np.intp))
WIDTH = st.sampled_from(gaps.WIDTHS)
SIGNS = arrays(np.int8, st.tuples(st.integers(1, 6), st.integers(1, 40)), elements=st.integers(-1, 1))


@given(PLACES, WIDTH)
def test_gaps_lead_to_the_places_and_no_two_entries_share_one(places, width):
    entries = gaps.entries_of(places, width)
    reached = np.cumsum(entries.gaps.astype(np.intp) + entries.kept) - 1
    assert reached[entries.kept].tolist() == places.tolist()
    assert len(np.unique(reached)) == len(reached) == gaps.count_of(places, width)
    assert (entries.gaps[~entries.kept] == 2**width - 1).all() and entries.gaps.max(initial=0) < 2**width


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([0, 1, 2], [0, 0, 0]),
        ([2], [2]),
        ([3], [3, 0]),  # exactly an escape's reach
        ([6], [3, 3, 0]),
        ([5, 9], [3, 2, 3, 0]),
        ([], []),
    ],
)
def test_gaps_of_two_bits(places, expected):
    assert gaps.entries_of(np.array(places, np.intp), 2).gaps.tolist() == expected


@given(st.integers(1, 7), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_planes_hold_the_codes(bits, eighths, seed):
    codes = np.random.default_rng(seed).integers(0, 2**bits, gaps.WHOLE * eighths, dtype=np.uint8)
    at, found = 0, np.zeros(len(codes), np.uint8)
    for width, plane in zip(gaps.plane_widths(bits), gaps.planes_of(codes, bits), strict=True):
        assert plane.size == len(codes) * width // 8
        parts = plane >> gaps.SHIFTS[width] & 2**width - 1
        assert parts.shape == (2, 4, eighths)
        found |= parts.reshape(-1) << np.uint8(at)
        at += width
    assert at == bits and (found == codes).all()


@given(PLACES, WIDTH)
def test_filled_entries_lead_to_the_same_places_and_are_whole_bytes(places, width):
    entries = gaps.entries_of(places, width)
    filled = entries.filled(width)
    assert len(filled.gaps) % gaps.WHOLE == 0 and len(filled.gaps) > 0
    assert not filled.kept[len(entries.kept) :].any()
    assert (filled.gaps[: len(entries.gaps)] == entries.gaps).all()
    ends = np.cumsum(np.where(filled.kept, filled.ahead, 2**width - 1).astype(np.intp))
    assert (ends[filled.kept] - 1).tolist() == places.tolist()
    assert filled.reach == ends[-1] and len(np.unique(ends)) == len(ends)
    assert (filled.ahead > 0).tolist() == filled.kept.tolist()


@given(SIGNS)
def test_trits_hold_the_signs(signs):
    found = trits.table()[trits.packed(signs)].reshape(-1)
    assert len(found) < signs.size + trits.EACH
    assert (found[: signs.size] == signs.reshape(-1)).all() and not found[signs.size :].any()


@given(SIGNS, st.integers(0, 1), st.integers(0, 2**32 - 1))
def test_levels_are_found_along_either_axis(signs, axis, seed):
    shape = (-1, 1) if axis == 0 else (1, -1)
    scale = np.random.default_rng(seed).uniform(0.1, 2, signs.shape[axis]).astype(np.float32).reshape(shape)
    weight = signs * scale
    levels = levels_of(weight)
    assert levels is not None
    assert np.array_equal(levels.signs * levels.scale, weight)


def test_one_magnitude_for_all_is_one_number():
    levels = levels_of(np.array([[0.5, 0, -0.5], [0, 0, 0]], np.float32))
    assert levels is not None and levels.scale.tolist() == [[0.5]]


@pytest.mark.parametrize("weight", [[[1.0, 2.0], [3.0, 1.0]], [[1.0, 1.0000001], [2.0, 1.0]]])
def test_other_weights_have_no_levels(weight):
    assert levels_of(np.array(weight, np.float32)) is None


def test_integers_have_levels_but_for_the_one_without_a_counterpart():
    levels = levels_of(np.array([[64, 0, -64]], np.int8))
    assert levels is not None and levels.scale.dtype == np.int8 and levels.scale.tolist() == [[64]]
    assert levels_of(np.array([[-128, 0]], np.int8)) is None


def test_a_weight_of_zeros_has_level_zero():
    levels = levels_of(np.zeros((2, 3), np.float32))
    assert levels is not None and not levels.scale.any() and not levels.signs.any()
