"""Batch-norm numbers in fewer bits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recycle_pipeline.exporters.ticket.reader import parse_ticket, parse_verified
from recycle_pipeline.exporters.ticket.rounding import rounded, statistics_in, with_rounded_statistics
from recycle_pipeline.exporters.ticket.writer import ticket_bytes
from recycle_pipeline.models.subnetwork import array_digest

FLOATS = st.lists(st.floats(width=32, allow_nan=True), min_size=1, max_size=20)


@given(numbers=FLOATS, bits=st.integers(1, 23))
def test_numbers_move_to_the_nearest_that_has_so_many_bits(numbers, bits):
    given_ = np.array(numbers, np.float32)
    near = rounded(given_, bits)
    assert near.dtype == np.float32 and rounded(near, bits).tobytes() == near.tobytes()
    moved = near.view(np.uint32) != given_.view(np.uint32)
    assert not (near.view(np.uint32)[moved] & ((1 << 23 - bits) - 1)).any()
    assert np.array_equal(np.signbit(near), np.signbit(given_))
    assert np.array_equal(np.isfinite(near), np.isfinite(given_))
    normal = np.isfinite(given_) & (np.abs(given_) >= np.finfo(np.float32).tiny)
    exact = given_[normal].astype(np.float64)
    with np.errstate(over="ignore"):
        largest = np.abs(exact) > np.finfo(np.float32).max * (1 - 2.0 ** -(bits + 1))
    close = np.abs(near[normal] - exact) <= np.abs(exact) * 2.0 ** -(bits + 1)
    assert (close | largest).all()


def test_known_values_and_ties_to_even():
    numbers = np.array([1 + 2**-2, 1 + 3 * 2**-2, 1.5, -1.3, 0.0, -0.0, 3.4028235e38, 1e-45], np.float32)
    expected = np.array([1, 2, 1.5, -1.5, 0.0, -0.0, 3.4028235e38, 0.0], np.float32)
    assert rounded(numbers, 1).tobytes() == expected.tobytes()
    assert rounded(numbers, 23).tobytes() == numbers.tobytes()


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_the_ticket_rebuilds_what_was_rounded_and_nothing_else_changed(make_by_hand, kind):
    subnetwork = make_by_hand(kind)
    names = statistics_in(subnetwork.state)
    assert sorted(names) == ["bn.bias", "bn.running_mean", "bn.running_var", "bn.weight"]
    other = with_rounded_statistics(subnetwork, 4)
    found, arrays = parse_verified(ticket_bytes(other), "mine")
    assert found.recipe == {**subnetwork.recipe, "statistics_bits": 4}
    for name, array in subnetwork.arrays().items():
        expected = rounded(array, 4) if name in names else array
        assert array_digest(arrays[name]) == array_digest(expected), name
    assert subnetwork.state["bn.running_mean"][0] == np.float32(0.1)  # not in place


def test_fewer_bits_take_fewer_bytes(make_by_hand):
    from dataclasses import replace

    rng = np.random.default_rng(1)
    state = {
        "bn.running_mean": rng.normal(size=4000).astype(np.float32),
        "bn.running_var": rng.random(4000).astype(np.float32),
        "head.bias": rng.normal(size=4000).astype(np.float32),
    }
    subnetwork = replace(make_by_hand("binary"), state=state)
    assert statistics_in(state) == ["bn.running_mean", "bn.running_var"]
    sizes = [len(ticket_bytes(with_rounded_statistics(subnetwork, bits))) for bits in (2, 4, 8, 16, 22)]
    assert sizes == sorted(sizes) and sizes[2] < len(ticket_bytes(subnetwork)) - 12_000
    assert parse_ticket(ticket_bytes(subnetwork), "mine").recipe == subnetwork.recipe
