"""Draws on a torch device: bit for bit what numpy gives."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recycle_pipeline.models.draws import INITS, bits_at, stream_key, weights_at
from recycle_pipeline.models.draws_torch import bits_of, draw_picks, draw_weights, signed

CPU = torch.device("cpu")
SCALE = np.float32(0.057735026)
SHAPES = [(1,), (7,), (8, 3, 3, 3), (64, 1, 3, 3), (257, 256), (2, 65536 // 2 + 1)]


@pytest.mark.parametrize(
    ("word", "same"), [(0, 0), (2**63 - 1, 2**63 - 1), (2**63, -(2**63)), (2**64 - 1, -1)]
)
def test_signed_keeps_the_bits_of_a_word(word, same):
    assert signed(word) == same


@given(key=st.integers(0, 2**64 - 1), count=st.integers(0, 50))
@settings(max_examples=100, deadline=None)
def test_torch_bits_are_numpy_bits_for_every_key(key, count):
    expected = bits_at(key, np.arange(count, dtype=np.uint64))
    np.testing.assert_array_equal(bits_of(key, count, CPU).numpy().view(np.uint64), expected)


@pytest.mark.parametrize("key", [0, 1, 2**63 - 1, 2**63, 2**64 - 1])
def test_every_device_gives_the_same_bits(key, device):
    expected = bits_at(key, np.arange(100_000, dtype=np.uint64))
    np.testing.assert_array_equal(bits_of(key, 100_000, device).cpu().numpy().view(np.uint64), expected)


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_drawn_layer_is_the_numpy_reference_in_its_shape(init, shape, device):
    key = stream_key(5, "layer4.1.conv2")
    drawn = draw_weights(key, shape, init, SCALE, device)
    expected = weights_at(key, np.arange(np.prod(shape)), init, SCALE).reshape(shape)
    assert drawn.dtype == torch.float32 and drawn.device.type == device.type
    np.testing.assert_array_equal(drawn.cpu().numpy().view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("init", INITS)
def test_shape_does_not_change_the_numbers(init):
    flat = draw_weights(9, (120,), init, SCALE, CPU)
    assert torch.equal(draw_weights(9, (2, 3, 4, 5), init, SCALE, CPU).reshape(-1), flat)
    assert torch.equal(draw_weights(9, (60,), init, SCALE, CPU), flat[:60])


@given(probability=st.floats(0, 1), key=st.integers(0, 2**64 - 1))
@settings(max_examples=100, deadline=None)
def test_a_pick_compares_the_top_24_bits_with_the_probability(probability, key):
    top = bits_at(key, np.arange(60, dtype=np.uint64)) >> np.uint64(40)
    picked = draw_picks(key, (3, 20), probability, CPU)
    np.testing.assert_array_equal(picked.numpy().ravel(), top < round(probability * 2**24))


def test_a_pick_is_strictly_below_the_probability(device):
    top = int(bits_at(4, np.arange(1, dtype=np.uint64))[0] >> np.uint64(40))
    assert not draw_picks(4, (1,), top / 2**24, device)
    assert draw_picks(4, (1,), (top + 1) / 2**24, device)


def test_probability_0_picks_nothing_and_1_everything(device):
    assert not draw_picks(4, (5000,), 0.0, device).any()
    assert draw_picks(4, (5000,), 1.0, device).all()


def test_picks_of_a_seed_never_change():
    """As for the weights (`test_draws`): a search must find the same subnetwork again."""
    picked = draw_picks(stream_key(0, "conv1", 1, "pick"), (1000,), 0.1, CPU).numpy()
    digest = hashlib.sha256(np.packbits(picked).tobytes()).hexdigest()
    assert digest == "1320e5c6c85eb99cef12bf9a11ebff54e7cd3f8e54e89957f18314a28f957377"


def test_drawing_leaves_the_global_generators_alone():
    before, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()
    draw_weights(9, (120,), "kaiming_normal", SCALE, CPU)
    draw_picks(9, (120,), 0.5, CPU)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], legacy)
