"""Top-k masks: published counts, exact numbers kept, ties by index."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recycle_pipeline.models.topk import kept_count, top_mask, top_masks

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


@given(st.integers(1, 10**9), st.floats(0, 1, exclude_max=True))
@settings(deadline=None)
def test_at_least_one_weight_stays_below_a_prune_rate_of_one(size, prune):
    assert 1 <= kept_count(size, prune) <= size


@given(st.integers(1, 10**9), st.floats(0, 1, exclude_max=True))
@settings(deadline=None)
def test_a_count_is_within_one_weight_of_the_rate(size, prune):
    assert -1e-6 <= kept_count(size, prune) - (1 - prune) * size < 1 + 1e-6


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
