"""Recycling and rerandomizing: the published alignment, counts, and provenance that stays true."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recycle_pipeline.models.draws import INITS, stream_key, weights_at
from recycle_pipeline.models.draws_torch import draw_picks, draw_weights
from recycle_pipeline.models.reuse import Provenance, composed, recycle, rerandomize

CPU = torch.device("cpu")
CONV6 = (1728, 36864, 73728, 147456, 294912, 589824, 1048576, 65536, 2560)
RECYCLED = {
    0.1: (172, 3686, 7372, 14745, 29491, 58982, 104857, 6553, 256),
    0.2: (345, 7372, 14745, 29491, 58982, 117964, 209715, 13107, 512),
}


def reference(scores, values, rate):
    """Position j of the bottom k takes what position n - k + j held."""
    order, k = np.argsort(np.abs(scores), kind="stable"), int(rate * scores.size)
    result = values.copy()
    result[order[:k]] = values[order[scores.size - k :]]
    return result


def next_lowest(scores, values, rate):
    """The ablation: position j of the bottom k takes what position k + j held."""
    order, k = np.argsort(np.abs(scores), kind="stable"), int(rate * scores.size)
    result = values.copy()
    result[order[:k]] = values[order[k : 2 * k]]
    return result


def identity(size, device=CPU):
    return Provenance.initial(size, device)


def test_before_any_event_each_weight_is_its_own_of_draw_0(device):
    initial = identity(5, device)
    assert initial.draw.tolist() == [0] * 5 and initial.source.tolist() == [0, 1, 2, 3, 4]
    assert (initial.draw.dtype, initial.source.dtype) == (torch.int16, torch.int32)


def test_the_lowest_takes_the_lowest_of_the_top_block():
    """The published alignment at n = 10 and rate 0.3: idx0 <- idx7, idx1 <- idx8, idx2 <- idx9."""
    idx = [4, 0, 9, 2, 7, 1, 5, 8, 3, 6]  # positions in ascending order of |score|
    scores = torch.empty(10)
    for rank, position in enumerate(idx):
        scores[position] = (rank + 1) * (-1) ** rank
    weights = torch.arange(10.0)
    done = recycle(scores, weights, identity(10), 0.3)
    expected = list(range(10))
    for target, source in ((0, 7), (1, 8), (2, 9)):
        expected[idx[target]] = idx[source]
    assert done.weights.tolist() == expected
    assert done.provenance.source.tolist() == expected
    assert (done.written, done.changed) == (3, 3)


@given(data=st.data(), size=st.integers(1, 60), rate=st.sampled_from([0.01, 0.1, 0.2, 0.3, 0.5]))
@settings(max_examples=200, deadline=None)
def test_recycle_is_its_numpy_reference(data, size, rate):
    scores = np.array(data.draw(st.lists(st.integers(-3, 3), min_size=size, max_size=size)), np.float32)
    weights = np.array(data.draw(st.lists(st.integers(-2, 2), min_size=size, max_size=size)), np.float32)
    done = recycle(torch.from_numpy(scores), torch.from_numpy(weights), identity(size), rate)
    expected = reference(scores, weights, rate)
    np.testing.assert_array_equal(done.weights.numpy(), expected)
    np.testing.assert_array_equal(done.provenance.source.numpy(), reference(scores, np.arange(size), rate))
    assert (done.written, done.changed) == (int(rate * size), int((expected != weights).sum()))


def test_the_ablation_takes_the_block_next_to_the_lowest():
    """At n = 10 and rate 0.3: idx0 <- idx3, idx1 <- idx4, idx2 <- idx5."""
    scores = torch.tensor([4.0, 0.5, -9.0, 2.0, 7.0, -1.0, 5.0, 8.0, 3.0, 6.0])
    done = recycle(scores, torch.arange(10.0), identity(10), 0.3, source="next-lowest")
    expected = [0, 8, 2, 6, 4, 0, 6, 7, 8, 9]  # ascending: 1 5 3 | 8 0 6 | ...
    assert done.weights.tolist() == done.provenance.source.tolist() == expected


@given(data=st.data(), size=st.integers(1, 60), rate=st.sampled_from([0.01, 0.1, 0.3, 0.5]))
@settings(max_examples=100, deadline=None)
def test_the_ablation_is_its_numpy_reference(data, size, rate):
    scores = np.array(data.draw(st.lists(st.integers(-3, 3), min_size=size, max_size=size)), np.float32)
    weights = np.array(data.draw(st.lists(st.integers(-2, 2), min_size=size, max_size=size)), np.float32)
    done = recycle(*map(torch.from_numpy, (scores, weights)), identity(size), rate, source="next-lowest")
    np.testing.assert_array_equal(done.weights.numpy(), next_lowest(scores, weights, rate))
    np.testing.assert_array_equal(done.provenance.source.numpy(), next_lowest(scores, np.arange(size), rate))


def test_at_one_half_both_sources_are_the_upper_half():
    scores = torch.from_numpy(np.random.default_rng(0).normal(size=40).astype(np.float32))
    top, ablation = (
        recycle(scores, torch.arange(40.0), identity(40), 0.5, source=source)
        for source in ("top", "next-lowest")
    )
    assert torch.equal(top.weights, ablation.weights)


def test_signed_scores_recycle_from_the_highest_to_the_most_negative():
    scores = torch.tensor([-5.0, 1.0, 4.0, -0.1])
    weights = torch.arange(4.0)
    assert recycle(scores, weights, identity(4), 0.25, rule="signed").weights.tolist() == [2.0, 1.0, 2.0, 3.0]
    assert recycle(scores, weights, identity(4), 0.25).weights.tolist() == [0.0, 1.0, 2.0, 0.0]


def test_two_events_count_as_one_by_what_they_did_together():
    """The first writes positions 1 and 2, the second copies 3 over 1 and back to what 1 held before."""
    weights = torch.tensor([1.0, 2.0, 3.0, 2.0])
    off, picked = torch.zeros(4, dtype=torch.bool), torch.tensor([False, True, True, False])
    first = rerandomize(weights, off, identity(4), -weights, picked, 5)
    second = recycle(torch.tensor([2.0, 1.0, 3.0, 4.0]), first.weights, first.provenance, 0.25)
    done = composed(first, second, weights)
    assert done.weights.tolist() == [1.0, 2.0, -3.0, 2.0]
    assert done.provenance.draw.tolist() == [0, 0, 5, 0] and done.provenance.source.tolist() == [0, 3, 2, 3]
    assert (done.written, done.changed) == (3, 1)


def test_equal_scores_are_ranked_by_index(device):
    weights = torch.arange(6.0, device=device)
    done = recycle(torch.full((6,), -1.0, device=device), weights, identity(6, device), 0.5)
    assert done.weights.tolist() == [3.0, 4.0, 5.0, 3.0, 4.0, 5.0]


def test_recycle_is_the_same_on_every_device(device):
    rng = np.random.default_rng(0)
    scores = rng.integers(-50, 50, (30, 20, 3, 3)).astype(np.float32)
    weights = rng.normal(size=scores.shape).astype(np.float32)
    done = recycle(
        *(torch.from_numpy(a).to(device) for a in (scores, weights)), identity(weights.size, device), 0.2
    )
    expected = reference(scores.ravel(), weights.ravel(), 0.2).reshape(weights.shape)
    np.testing.assert_array_equal(done.weights.cpu().numpy(), expected)


@pytest.mark.parametrize("rate", RECYCLED)
def test_recycled_counts_are_the_published_ones(rate):
    small = [(size, k) for size, k in zip(CONV6, RECYCLED[rate], strict=True) if size < 150_000]
    for size, k in small:
        done = recycle(torch.arange(1.0, size + 1), torch.arange(1.0, size + 1), identity(size), rate)
        assert done.written == k == int((done.provenance.source != torch.arange(size)).sum())


def test_a_layer_too_small_for_the_rate_is_left_alone():
    """k = 0; in the published code the slice -0: selects everything."""
    weights = torch.tensor([[1.0, -2.0, 3.0]])
    done = recycle(torch.tensor([[1.0, 2.0, 3.0]]), weights, identity(3), 0.3)
    assert torch.equal(done.weights, weights)
    assert done.provenance.source.tolist() == [0, 1, 2] and (done.written, done.changed) == (0, 0)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_recycle_copies_and_its_sources_keep_their_values(rate):
    scores = torch.from_numpy(np.random.default_rng(3).permutation(100).astype(np.float32))
    weights = torch.arange(100.0)
    done = recycle(scores, weights, identity(100), rate)
    untouched = scores >= int(rate * 100)
    assert torch.equal(done.weights[untouched], weights[untouched])


def test_a_recycled_weight_that_held_the_same_value_is_written_and_not_changed():
    done = recycle(torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([0.5, -0.5, 0.5, 0.5]), identity(4), 0.5)
    assert (done.written, done.changed) == (2, 1)


def test_events_leave_their_inputs_as_they_are():
    scores, weights, before = torch.arange(10.0), torch.arange(10.0), identity(10)
    recycle(scores, weights, before, 0.5)
    none, every = torch.zeros(10, dtype=torch.bool), torch.ones(10, dtype=torch.bool)
    rerandomize(weights, none, before, -weights, every, 1)
    assert torch.equal(scores, torch.arange(10.0)) and torch.equal(weights, torch.arange(10.0))
    assert before.source.tolist() == list(range(10)) and not before.draw.any()


def test_rerandomize_writes_where_picked_and_pruned(device):
    weights = torch.tensor([[1.0, 2.0], [3.0, 4.0]], device=device)
    mask = torch.tensor([[True, False], [True, False]], device=device)
    picked = torch.tensor([[True, True], [False, False]], device=device)
    moved = Provenance(
        torch.tensor([0, 2, 0, 0], dtype=torch.int16, device=device),
        torch.tensor([0, 3, 2, 1], dtype=torch.int32, device=device),
    )
    done = rerandomize(weights, mask, moved, -weights, picked, 7)
    assert done.weights.tolist() == [[1.0, -2.0], [3.0, 4.0]]
    assert done.provenance.draw.tolist() == [0, 7, 0, 0] and done.provenance.source.tolist() == [0, 1, 2, 1]
    assert (done.provenance.draw.dtype, done.provenance.source.dtype) == (torch.int16, torch.int32)
    assert (done.written, done.changed) == (1, 1)


@given(data=st.data(), size=st.integers(1, 40))
@settings(max_examples=100, deadline=None)
def test_rerandomize_never_touches_a_kept_weight(data, size):
    bits = st.lists(st.booleans(), min_size=size, max_size=size)
    mask, picked = np.array(data.draw(bits)), np.array(data.draw(bits))
    weights = np.arange(1, size + 1, dtype=np.float32)
    fresh = np.where(data.draw(bits), -weights, weights).astype(np.float32)
    done = rerandomize(
        *map(torch.from_numpy, (weights, mask)), identity(size), *map(torch.from_numpy, (fresh, picked)), 1
    )
    expected = np.where(picked & ~mask, fresh, weights)
    np.testing.assert_array_equal(done.weights.numpy(), expected)
    np.testing.assert_array_equal(done.weights.numpy()[mask], weights[mask])
    assert done.written == (picked & ~mask).sum() and done.changed == (expected != weights).sum()


def test_the_last_draw_number_fits_the_provenance():
    off, on = torch.zeros(1, dtype=torch.bool), torch.ones(1, dtype=torch.bool)
    done = rerandomize(torch.ones(1), off, identity(1), torch.ones(1), on, 32767)
    assert done.provenance.draw.tolist() == [32767]


@given(
    events=st.lists(st.tuples(st.booleans(), st.sampled_from([0.05, 0.2, 0.5])), max_size=6),
    init=st.sampled_from(INITS),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=60, deadline=None)
def test_provenance_says_where_every_weight_came_from_after_any_chain_of_events(events, init, seed):
    """value == draw[number](source), for all weights, kept or not."""
    shape, size, scale, rng = (4, 3, 3, 3), 108, np.float32(0.3), np.random.default_rng(seed)
    weights = draw_weights(stream_key(seed, "conv"), shape, init, scale, CPU)
    provenance = identity(size)
    for number, (copies, rate) in enumerate(events, start=1):
        scores = torch.from_numpy(rng.normal(size=shape).astype(np.float32))
        if copies:
            done = recycle(scores, weights, provenance, rate)
        else:
            fresh = draw_weights(stream_key(seed, "conv", number), shape, init, scale, CPU)
            picked = draw_picks(stream_key(seed, "conv", number, "pick"), shape, rate, CPU)
            done = rerandomize(weights, scores.abs() > 0.6, provenance, fresh, picked, number)
        weights, provenance = done.weights, done.provenance
    held = np.empty(size, np.float32)
    for position, (draw, source) in enumerate(
        zip(provenance.draw.tolist(), provenance.source.tolist(), strict=True)
    ):
        held[position] = weights_at(stream_key(seed, "conv", draw), np.array([source]), init, scale)[0]
    np.testing.assert_array_equal(weights.numpy().ravel(), held)
