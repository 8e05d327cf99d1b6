"""Places in an order: as a full sort has them, whatever the numbers are like."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recycle_pipeline.models import order
from recycle_pipeline.models.order import EVERY, SAMPLED, places, value_at

# (generator, size) to numbers that a sample describes well, badly, or not at all.
KINDS = {
    "uniform": lambda rng, size: rng.uniform(-1, 1, size),
    "heavy tails": lambda rng, size: rng.standard_cauchy(size),
    "few different": lambda rng, size: rng.integers(-2, 3, size) / 7,
    "all equal": lambda rng, size: np.full(size, -0.25),
    "both zeros": lambda rng, size: np.where(rng.random(size) < 0.5, 0.0, -0.0),
    "subnormal": lambda rng, size: rng.integers(-3, 4, size) * 1e-45,
    "sorted": lambda rng, size: np.linspace(-1, 1, size),
    "another at each sampled place": lambda rng, size: np.where(np.arange(size) % EVERY, rng.random(size), 9),
    "kernels whose taps differ": lambda rng, size: rng.random(size) * 10.0 ** (np.arange(size) % 9 - 4),
    "infinite ends": lambda rng, size: np.where(rng.random(size) < 0.1, np.inf, -np.inf),
}
SIZES = (1, 1000, SAMPLED - 1, SAMPLED, 100_003)


def some(kind: str, size: int) -> np.ndarray:
    """(size,) float32 of that kind."""
    return KINDS[kind](np.random.default_rng(size), size).astype(np.float32)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_value_of_a_rank_is_that_of_a_full_sort(kind, size):
    values = some(kind, size)
    before = values.tobytes()
    ordered = np.sort(values)
    for rank in {0, size // 1000, size // 10, size // 2, size * 9 // 10, size - 1 - size // 1000, size - 1}:
        assert value_at(values, rank) == ordered[rank]
    assert values.tobytes() == before


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_places_are_those_of_a_stable_sort(kind, size, device):
    values = torch.from_numpy(some(kind, size))
    expected = values.argsort(stable=True)
    k = size // 5
    spans = [(0, k), (k, 2 * k), (size - k, size), (size // 2, size // 2), (0, size)]
    for found, (first, last) in zip(places(values.to(device), *spans), spans, strict=True):
        assert found.dtype == torch.int64
        assert torch.equal(found.cpu(), expected[first:last])


@given(data=st.data(), size=st.integers(1, 60))
@settings(max_examples=200, deadline=None)
def test_any_span_of_any_numbers(data, size):
    number = st.floats(width=32, allow_nan=False)
    values = np.array(data.draw(st.lists(number, min_size=size, max_size=size)), np.float32)
    last = data.draw(st.integers(0, size))
    first = data.draw(st.integers(0, last))
    (found,) = places(torch.from_numpy(values), (first, last))
    np.testing.assert_array_equal(found.numpy(), np.argsort(values + 0.0, kind="stable")[first:last])


@pytest.mark.parametrize("rank", [0, 70_000, 76_000, 78_000, 80_000, 82_000, 84_000, 99_999])
def test_what_is_not_a_number_ranks_highest(rank):
    values = some("uniform", 100_000)
    values[np.random.default_rng(0).random(100_000) < 0.2] = np.nan
    np.testing.assert_equal(value_at(values, rank), np.sort(values)[rank])


@pytest.mark.parametrize("size", [10, 100_000])
@pytest.mark.parametrize("at", [0, -1, slice(None, None, 3), slice(None)], ids=str)
def test_with_what_is_not_a_number_there_are_as_many_places(size, at, device):
    """What recycling then does is found by the look at scores that follows, which tells the user."""
    values = some("uniform", size)
    values[at] = np.nan
    k = size // 5
    for found in places(torch.from_numpy(values).to(device), (0, k), (size - k, size)):
        assert len(set(found.tolist())) == k


def test_of_many_numbers_few_are_ordered(monkeypatch):
    """What the sample is for: the second ordering, of what lies between the bounds, is of a few percent."""
    ordered = []
    partition = np.partition
    monkeypatch.setattr(
        order.np, "partition", lambda values, rank: ordered.append(len(values)) or partition(values, rank)
    )
    for kind in ("uniform", "heavy tails", "kernels whose taps differ"):
        value_at(some(kind, 1_000_000), 900_000)
    assert len(ordered) == 3
    assert max(ordered) < 30_000
