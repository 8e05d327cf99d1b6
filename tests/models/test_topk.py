"""Top-k masks: published counts, exact numbers kept, ties by index."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.models.topk import (
    ROUNDINGS,
    kept_count,
    layer_minimums,
    ranks,
    top_mask,
    top_masks,
)

CONV6 = (1728, 36864, 73728, 147456, 294912, 589824, 1048576, 65536, 2560)
# Density: kept per layer of Conv6, as counted by running the published rounding.
PUBLISHED = {
    "0.9": (1556, 33178, 66356, 132711, 265421, 530842, 943719, 58983, 2305),
    "0.8": (1383, 29492, 58983, 117965, 235930, 471860, 838861, 52429, 2049),
    "0.5": (864, 18432, 36864, 73728, 147456, 294912, 524288, 32768, 1280),
    "0.4": (692, 14746, 29492, 58983, 117965, 235930, 419431, 26215, 1024),
    "0.3": (519, 11060, 22119, 44237, 88474, 176948, 314573, 19661, 768),
    "0.25": (432, 9216, 18432, 36864, 73728, 147456, 262144, 16384, 640),
    "0.2": (346, 7373, 14746, 29492, 58983, 117965, 209716, 13108, 512),
    "0.1": (173, 3687, 7373, 14746, 29492, 58983, 104858, 6554, 256),
    "0.05": (87, 1844, 3687, 7373, 14746, 29492, 52429, 3277, 128),
    "0.01": (18, 369, 738, 1475, 2950, 5899, 10486, 656, 26),
}
# Prune rate: the same for IteRand's rounding.
ITERAND = {
    0.6: (692, 14746, 29492, 58983, 117965, 235930, 419431, 26215, 1025),
    0.8: (346, 7374, 14746, 29492, 58983, 117966, 209716, 13108, 513),
    0.75: (433, 9217, 18433, 36865, 73729, 147457, 262145, 16385, 641),
    0.9: (174, 3687, 7374, 14746, 29492, 58983, 104858, 6554, 257),
}
SUMS = (2035071, 1808952, 1130592, 904478, 678359, 565296, 452241, 226122, 113063, 22617)


def reference(magnitudes, kept):
    """Stable descending order keeps the lower index first among equals."""
    mask = np.zeros(magnitudes.size, bool)
    mask[np.argsort(-magnitudes.ravel(), kind="stable")[:kept]] = True
    return mask.reshape(magnitudes.shape)


@pytest.mark.parametrize("density", PUBLISHED)
@pytest.mark.parametrize("spelling", ["1 - density", "decimal"])
def test_kept_counts_are_the_published_ones(density, spelling):
    keep = float(density)
    prune = 1 - keep if spelling == "1 - density" else float(f"{1 - keep:.2f}")
    kept = tuple(kept_count(size, prune) for size in CONV6)
    assert kept == PUBLISHED[density]
    assert sum(kept) == SUMS[list(PUBLISHED).index(density)]


@pytest.mark.parametrize(("prune", "kept"), [(0.5, 1_130_592), (0.8, 452_237), (0.9, 226_119)])
def test_global_counts_are_the_published_ones(prune, kept):
    """One count over all 2,261,184 weights of Conv6, a few less than the layers' counts together."""
    assert kept_count(sum(CONV6), prune) == kept


@pytest.mark.parametrize("prune", ITERAND)
def test_iterand_keeps_its_published_counts(prune):
    assert tuple(kept_count(size, prune, "iterand") for size in CONV6) == ITERAND[prune]


def test_iterand_at_three_quarters_keeps_one_more_than_the_quarter():
    """Of 4k weights: 0.75 * (4k - 1) = 3k - 0.75 rounds to 3k - 1."""
    assert ITERAND[0.75] == tuple(size // 4 + 1 for size in CONV6)


@pytest.mark.parametrize(("size", "kept"), [(2, 2), (4, 2), (6, 4), (8, 4)])
def test_iterand_rounds_a_half_to_the_even_number(size, kept):
    """At one half and sizes 2, 4, 6, 8 the rank is 0.5, 1.5, 2.5, 3.5: rounded to 0, 2, 2, 4."""
    assert kept_count(size, 0.5, "iterand") == kept


@given(data=st.data(), size=st.integers(1, 60), prune=st.floats(0, 1, exclude_max=True))
@settings(max_examples=100, deadline=None)
def test_iterand_keeps_what_is_not_below_the_value_of_its_rank(data, size, prune):
    """The published rule, in its own words: threshold = value of rank 1 + round(p * (n - 1))."""
    scores = np.array(data.draw(st.permutations(range(size))), np.float32) - size // 2
    threshold = np.sort(scores)[round(prune * (size - 1))]
    mask = top_mask(torch.from_numpy(scores), kept_count(size, prune, "iterand"))
    np.testing.assert_array_equal(mask.numpy(), scores >= threshold)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@given(size=st.integers(1, 10**9), prune=st.floats(0, 1, exclude_max=True))
@settings(deadline=None)
def test_at_least_one_weight_stays_below_a_prune_rate_of_one(rounding, size, prune):
    assert 1 <= kept_count(size, prune, rounding) <= size


@pytest.mark.parametrize(("rounding", "more"), [("edge-popup", 1), ("iterand", 1.5)])
@given(size=st.integers(1, 10**9), prune=st.floats(0, 1, exclude_max=True))
@settings(deadline=None)
def test_a_count_is_within_one_weight_of_the_rate(rounding, more, size, prune):
    """Within one and a half, for IteRand's."""
    assert -0.5 - 1e-6 <= kept_count(size, prune, rounding) - (1 - prune) * size < more + 1e-6


@pytest.mark.parametrize(("rule", "expected"), [("magnitude", [3.0, 2.0, 0.0]), ("signed", [-3.0, 2.0, 0.0])])
def test_scores_rank_by_magnitude_or_as_they_are(rule, expected):
    assert ranks(torch.tensor([-3.0, 2.0, 0.0]), rule).tolist() == expected


@given(data=st.data(), size=st.integers(1, 40))
@settings(max_examples=100, deadline=None)
def test_ranks_of_either_sign_are_taken(data, size):
    values = np.array(data.draw(st.lists(st.integers(-3, 3), min_size=size, max_size=size)), np.float32)
    kept = data.draw(st.integers(1, size))
    np.testing.assert_array_equal(top_mask(torch.from_numpy(values), kept).numpy(), reference(values, kept))


@given(data=st.data(), size=st.integers(1, 80))
@settings(max_examples=300, deadline=None)
def test_ties_go_to_the_lower_index(data, size):
    values = data.draw(st.lists(st.sampled_from([0.0, 0.25, 1.0, 3.0]), min_size=size, max_size=size))
    kept = data.draw(st.integers(1, size))
    magnitudes = np.array(values, np.float32)
    np.testing.assert_array_equal(
        top_mask(torch.from_numpy(magnitudes), kept).numpy(), reference(magnitudes, kept)
    )


@given(data=st.data(), shape=st.sampled_from([(1,), (24,), (2, 3, 4), (3, 2, 2, 2)]))
@settings(max_examples=100, deadline=None)
def test_without_ties_the_largest_are_kept_in_any_shape(data, shape):
    size = int(np.prod(shape))
    order = data.draw(st.permutations(range(size)))
    kept = data.draw(st.integers(1, size))
    magnitudes = np.array(order, np.float32).reshape(shape)
    np.testing.assert_array_equal(
        top_mask(torch.from_numpy(magnitudes), kept).numpy(), magnitudes >= size - kept
    )


@pytest.mark.parametrize("levels", [1, 2, 50, 10**6], ids=lambda levels: f"{levels} levels")
@pytest.mark.parametrize("prune", [0.1, 0.5, 0.9, 0.999])
def test_a_layer_keeps_its_exact_count_on_every_device(levels, prune, device):
    magnitudes = np.random.default_rng(0).integers(0, levels, (40, 30, 3, 3)).astype(np.float32)
    kept = kept_count(magnitudes.size, prune)
    mask = top_mask(torch.from_numpy(magnitudes).to(device), kept)
    assert mask.dtype == torch.bool and mask.shape == magnitudes.shape
    assert int(mask.sum()) == kept
    np.testing.assert_array_equal(mask.cpu().numpy(), reference(magnitudes, kept))


def test_keeping_everything_keeps_everything(device):
    assert top_mask(torch.zeros(6, 2, device=device), 12).all()


def test_the_magnitudes_are_left_as_they_are(device):
    magnitudes = torch.tensor([3.0, 1.0, 2.0, 2.0], device=device)
    top_mask(magnitudes, 2)
    assert magnitudes.tolist() == [3.0, 1.0, 2.0, 2.0]


@given(data=st.data(), sizes=st.lists(st.integers(1, 20), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_one_ranking_over_layers_is_the_ranking_of_their_concatenation(data, sizes):
    total = sum(sizes)
    values = np.array(data.draw(st.lists(st.integers(0, 3), min_size=total, max_size=total)), np.float32)
    kept = data.draw(st.integers(1, total))
    layers = [torch.from_numpy(part.reshape(1, -1)) for part in np.split(values, np.cumsum(sizes)[:-1])]
    masks = top_masks(layers, kept)
    assert [m.shape for m in masks] == [layer.shape for layer in layers]
    np.testing.assert_array_equal(np.concatenate([m.numpy().ravel() for m in masks]), reference(values, kept))


def test_ties_over_layers_go_to_the_earlier_layer(device):
    masks = top_masks([torch.ones(2, 1, device=device), torch.ones(3, device=device)], 3)
    assert [m.tolist() for m in masks] == [[[True], [True]], [True, False, False]]


def test_a_global_ranking_may_leave_a_layer_with_nothing(device):
    masks = top_masks([torch.zeros(4, device=device), torch.ones(4, device=device)], 4)
    assert [int(m.sum()) for m in masks] == [0, 4]


def guarded_reference(layers, kept, minimum):
    """Each layer's best first, and of the rest the best over all."""
    chosen = [reference(layer, least) for layer, least in zip(layers, minimum, strict=True)]
    values, first = np.concatenate(layers), np.concatenate(chosen)
    order = np.argsort(-values, kind="stable")
    rest = [index for index in order if not first[index]][: kept - int(first.sum())]
    first[rest] = True
    return first


@given(data=st.data(), sizes=st.lists(st.integers(1, 12), min_size=1, max_size=4))
@settings(max_examples=200, deadline=None)
def test_a_guarded_ranking_is_each_layers_best_and_then_the_best_of_all(data, sizes):
    draw_layer = [st.lists(st.integers(-2, 3), min_size=n, max_size=n) for n in sizes]
    layers = [np.array(data.draw(values), np.float32) for values in draw_layer]
    minimum = [data.draw(st.integers(0, n)) for n in sizes]
    kept = data.draw(st.integers(max(1, sum(minimum)), sum(sizes)))
    masks = top_masks([torch.from_numpy(layer) for layer in layers], kept, minimum)
    np.testing.assert_array_equal(np.concatenate(masks), guarded_reference(layers, kept, minimum))
    assert sum(int(m.sum()) for m in masks) == kept
    assert all(int(m.sum()) >= least for m, least in zip(masks, minimum, strict=True))


@given(data=st.data(), sizes=st.lists(st.integers(1, 12), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_a_guard_that_no_layer_falls_below_changes_nothing_even_among_ties(data, sizes):
    draw_layer = [st.lists(st.integers(0, 2), min_size=n, max_size=n) for n in sizes]
    layers = [torch.tensor(data.draw(values), dtype=torch.float32) for values in draw_layer]
    kept = data.draw(st.integers(1, sum(sizes)))
    free = top_masks(layers, kept)
    minimum = [data.draw(st.integers(0, int(m.sum()))) for m in free]
    guarded = top_masks(layers, kept, minimum)
    assert all(torch.equal(a, b) for a, b in zip(free, guarded, strict=True))


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1.0, 1e30], ids=lambda scale: f"others {scale:g}")
def test_scores_that_would_empty_all_layers_but_one_leave_each_its_minimum(scale, device):
    """Adversarial: one layer's scores above all others', the others' equal, tiny, or huge and yet smaller."""
    rng = np.random.default_rng(0)
    layers = [rng.random(n).astype(np.float32) * np.float32(scale) for n in (1728, 36864, 2560)]
    layers.insert(1, rng.random(73728).astype(np.float32) + np.float32(1e31))
    minimum = layer_minimums([layer.size for layer in layers], 0.9, 0.01, "edge-popup")
    assert minimum == [1, 73, 36, 2]
    kept = kept_count(sum(layer.size for layer in layers), 0.9)
    masks = top_masks([torch.from_numpy(layer).to(device) for layer in layers], kept, minimum)
    assert [int(m.sum()) for m in masks] == [1, kept - 39, 36, 2]


def test_a_guard_that_promises_all_that_is_kept_gives_each_layer_its_minimum(device):
    masks = top_masks([torch.zeros(4, device=device), torch.ones(6, device=device)], 5, [2, 3])
    assert [m.tolist() for m in masks] == [[True, True, False, False], [True] * 3 + [False] * 3]


def test_the_minimum_is_a_share_of_the_layers_own_count_and_one_at_least():
    assert layer_minimums(CONV6, 0.9, 0.1, "edge-popup") == [n // 10 for n in PUBLISHED["0.1"]]
    assert layer_minimums(CONV6, 0.9, 0.1, "iterand") == [n // 10 for n in ITERAND[0.9]]
    assert layer_minimums([1, 5, 1000], 0.9, 0.01, "edge-popup") == [1, 1, 1]
    assert layer_minimums([1, 5, 1000], 0.9, 0.0, "edge-popup") == [0, 0, 0]


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=8), st.floats(0, 0.99), st.floats(0, 0.5))
@settings(deadline=None)
def test_what_is_promised_can_be_kept_or_is_refused(sizes, prune, share):
    try:
        promised = layer_minimums(sizes, prune, share, "edge-popup")
    except UsageFault:
        assert share > 0
        return
    assert sum(promised) <= kept_count(sum(sizes), prune)
    assert all(least <= size for least, size in zip(promised, sizes, strict=True))


def test_fewer_kept_weights_than_layers_are_refused_with_what_to_do():
    with pytest.raises(
        UsageFault, match=r"^--layer-minimum 0\.01 promises 3 weights to 3 layers, but at --prune 0\.99 "
    ):
        layer_minimums([30, 40, 50], 0.99, 0.01, "edge-popup")
