"""The digest of a weight: a function of its dense bits, and of all of them."""

import hashlib

import numpy as np
import pytest

from recycle_pipeline.models.kept_digest import kept_digest
from recycle_pipeline.models.subnetwork import MaskedTensor

WEIGHT = np.array([[0.0, -0.0, 1.5], [np.nan, 0.0, -2.0]], np.float32)


def test_it_is_of_the_shape_then_a_bit_for_each_number_then_those_that_are_set():
    values = WEIGHT.reshape(-1)[[1, 2, 3, 5]].astype("<f4").tobytes()
    content = b"float32:2,3\0" + bytes([0b101110]) + values
    assert (
        kept_digest(WEIGHT) == hashlib.sha256(content).hexdigest()[:32] == "57c7f9bec88c9e40940b15609816c36e"
    )


def test_it_is_of_the_values_however_they_rest_in_memory():
    for same in (np.asfortranarray(WEIGHT), np.repeat(WEIGHT, 2, axis=1)[:, ::2], WEIGHT.astype(">f4")):
        assert kept_digest(same) == kept_digest(WEIGHT)


def test_any_other_bit_or_shape_or_type_is_another_digest():
    others = [WEIGHT.reshape(3, 2), WEIGHT.reshape(-1), WEIGHT.astype(np.float64), WEIGHT.view(np.uint32)]
    for place in range(32 * WEIGHT.size):
        words = WEIGHT.copy().view(np.uint32)
        words.reshape(-1)[place // 32] ^= np.uint32(1) << np.uint32(place % 32)
        others.append(words.view(np.float32))
    assert len({kept_digest(WEIGHT), *map(kept_digest, others)}) == 1 + len(others) - 1


@pytest.mark.parametrize("gain", [0.25, 0.0, None])
@pytest.mark.parametrize("init", ["signed_constant", "kaiming_normal", "kaiming_uniform"])
@pytest.mark.parametrize("scale", [0.5, 1e-45])
def test_a_rebuilt_weight_has_that_of_its_dense_bits_whatever_mask_gave_it(init, gain, scale):
    """In blocks, over more than one, also where kept weights are 0."""
    rng = np.random.default_rng(1)
    mask = rng.random((3, 50_000)) < 0.1
    flips = rng.random(np.count_nonzero(mask)) < 0.3
    gains = None if gain is None else np.float32(gain)
    tensor = MaskedTensor("conv", init, np.float32(scale), mask, gains, flips=flips)
    weight, digest = tensor.rebuilt(7)
    assert weight.tobytes() == tensor.weights(7).tobytes()
    assert digest == kept_digest(weight)
