"""Digests of masks, against Python's integers."""

import numpy as np
import pytest
import torch

from recycle_pipeline.models.draws import bits_at
from recycle_pipeline.models.masked_network import MaskedNetwork
from recycle_pipeline.pipeline.search.mask_digest import KEYS, mask_digests


@pytest.fixture
def masked(small_network, settings_with):
    return MaskedNetwork(small_network(), settings_with(prune=0.7).recipe)


def test_a_digest_is_the_sum_of_words_times_drawn_odd_numbers(masked):
    expected, place = [], 0
    for layer in masked.layers:
        packed = np.packbits(layer.weight.mask.numpy(), bitorder="little").tobytes()
        words = np.frombuffer(packed + bytes(-len(packed) % 8), "<u8")
        places = np.arange(place, place + len(words), dtype=np.uint64)
        factors = [[int(f) | 1 for f in bits_at(key, places)] for key in KEYS]
        expected.append([sum(int(w) * f for w, f in zip(words, fs, strict=True)) % 2**64 for fs in factors])
        place += len(words)
    assert mask_digests(masked).numpy().view(np.uint64).tolist() == expected


@pytest.mark.parametrize("place", (0, 7, 63, 64, 639))
def test_any_one_bit_changes_the_digest_of_its_layer_alone(masked, place):
    before = mask_digests(masked)
    flat = masked.layers[0].weight.mask.view(-1)
    flat[place] = ~flat[place]
    changed = mask_digests(masked) != before
    assert changed.tolist() == [[True, True], [False, False]]


def test_two_weights_that_change_places_show(masked):
    before = mask_digests(masked)
    flat = masked.layers[0].weight.mask.view(-1)
    kept, removed = flat.nonzero()[0], (~flat).nonzero()[-1]
    flat[kept], flat[removed] = False, True
    assert (mask_digests(masked)[0] != before[0]).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_on_cuda_digests_are_those_of_the_cpu(masked, small_network, settings_with):
    there = MaskedNetwork(small_network().cuda(), settings_with(prune=0.7).recipe)
    assert mask_digests(there).cpu().equal(mask_digests(masked))
