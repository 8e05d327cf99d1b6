"""The Subnetwork value: counts, weights from seed and provenance, digests, and the entropy bound."""

import dataclasses
import hashlib
import math
import subprocess
import sys

import numpy as np
import pytest

from recycle_pipeline.models.draws import signs_at, stream_key, weights_at
from recycle_pipeline.models.subnetwork import (
    BLOCK,
    MaskedTensor,
    Subnetwork,
    array_digest,
    bits_entropy_bytes,
    mask_entropy_bytes,
    places_of,
)

SEED = 3
SCALE = np.float32(0.25)
MASK = np.array([[True, False, True], [False, True, True]])  # keeps flat 0, 2, 4, 5
KEPT = [0, 2, 4, 5]


def tensor(**changed):
    plain = MaskedTensor("conv", "kaiming_normal", SCALE, MASK)
    return dataclasses.replace(plain, **changed)


def drawn(indices, init="kaiming_normal", draw=0):
    return weights_at(stream_key(SEED, "conv", draw), np.array(indices), init, SCALE)


def test_size_kept_and_moved_are_counted():
    assert (tensor().size, tensor().kept, tensor().moved) == (6, 4, 0)


@pytest.mark.parametrize(
    ("changed", "moved"),
    [
        ({"gain": np.float32(1)}, 0),
        ({"gain": np.float32(1), "flips": np.array([True, False, True, True])}, 3),
        ({"init": "signed_constant", "flips": np.array([False, False, False, True])}, 1),
        ({"draws": np.int16([0, 0, 0, 0]), "sources": np.int32(KEPT)}, 0),
        ({"draws": np.int16([0, 0, 0, 0]), "sources": np.int32([0, 5, 4, 5])}, 1),
        ({"draws": np.int16([0, 2, 0, 1]), "sources": np.int32([1, 2, 4, 3])}, 3),
    ],
)
def test_moved_counts_kept_weights_that_the_seed_does_not_give_in_place(changed, moved):
    assert tensor(**changed).moved == moved


@pytest.mark.parametrize(
    ("changed", "sign_only"),
    [
        ({}, False),
        ({"init": "kaiming_uniform"}, False),
        ({"init": "signed_constant"}, True),
        ({"gain": np.float32(1)}, True),
        ({"gain": np.float32(0)}, True),
    ],
)
def test_binary_and_signed_constant_weights_differ_in_sign_alone(changed, sign_only):
    assert tensor(**changed).sign_only is sign_only


@pytest.mark.parametrize("init", ["kaiming_normal", "kaiming_uniform", "signed_constant"])
def test_continuous_weights_are_the_draw_where_kept_and_positive_zero_elsewhere(init):
    weights = tensor(init=init).weights(SEED)
    assert weights.dtype == np.float32 and weights.shape == (2, 3)
    np.testing.assert_array_equal(weights[MASK], drawn(KEPT, init))
    assert not weights[~MASK].any() and not np.signbit(weights[~MASK]).any()


def test_binary_weights_are_the_drawn_sign_times_the_gain():
    weights = tensor(gain=np.float32(0.3)).weights(SEED)
    np.testing.assert_array_equal(weights[MASK], np.sign(drawn(KEPT)) * np.float32(0.3))
    assert weights.dtype == np.float32


@pytest.mark.parametrize(("gain", "magnitude"), [(np.float32(0.3), np.float32(0.3)), (None, SCALE)])
def test_a_flip_turns_a_sign_and_only_that(gain, magnitude):
    flips = np.array([True, False, False, True])
    weights = tensor(init="signed_constant", gain=gain, flips=flips).weights(SEED)
    negative = signs_at(stream_key(SEED, "conv"), np.array(KEPT)) ^ flips
    np.testing.assert_array_equal(weights[MASK], np.where(negative, -magnitude, magnitude))


def test_each_kept_weight_is_its_source_of_its_draw():
    weights = tensor(draws=np.int16([0, 7, 0, 300]), sources=np.int32([5, 2, 1, 4])).weights(SEED)
    expected = [drawn([5])[0], drawn([2], draw=7)[0], drawn([1])[0], drawn([4], draw=300)[0]]
    np.testing.assert_array_equal(weights[MASK], expected)


def test_a_gain_of_zero_is_a_gain():
    assert not tensor(gain=np.float32(0)).weights(SEED).any()


@pytest.mark.parametrize("gain", [None, np.float32(0)])
def test_a_layer_with_nothing_kept_is_zero(gain):
    empty = tensor(mask=np.zeros((2, 3), bool), gain=gain)
    assert (empty.kept, empty.moved) == (0, 0)
    assert not empty.weights(SEED).any()


def subnetwork(*tensors, state):
    return Subnetwork(
        "conv2", ("a", "b"), 1, 8, (0.5,), (0.5,), SEED, "continuous", 0.5, "layer", tensors, state
    )


def test_a_subnetwork_adds_up_its_layers():
    other = MaskedTensor("linear", "kaiming_uniform", SCALE, np.array([[True, False]]))
    whole = subnetwork(tensor(), other, state={"bn.running_mean": np.ones(2, np.float32)})
    assert (whole.size, whole.kept) == (8, 5)
    assert list(whole.weights()) == ["conv.weight", "linear.weight"]
    assert list(whole.arrays()) == ["conv.weight", "linear.weight", "bn.running_mean"]
    np.testing.assert_array_equal(whole.weights()["conv.weight"], tensor().weights(SEED))


def test_layers_of_one_shape_and_another_name_hold_other_weights():
    weights = subnetwork(tensor(), tensor(name="conv2"), state={}).weights()
    assert not np.array_equal(weights["conv.weight"], weights["conv2.weight"])


def test_equal_arrays_have_one_digest_whatever_their_memory_looks_like():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    digest = array_digest(array)
    assert array_digest(np.asfortranarray(array)) == digest
    assert array_digest(np.repeat(array, 2, axis=1)[:, ::2]) == digest
    assert array_digest(array.astype(">f4")) == digest


def test_a_digest_never_changes():
    """Tickets and manifests store digests: other bytes here mean that no stored one matches any more."""
    content = b"float32:2,2\0" + bytes.fromhex("0000003f 00000080 0000803f 000050c0")
    array = np.array([[0.5, -0.0], [1.0, -3.25]], np.float32)
    assert array_digest(array) == hashlib.sha256(content).hexdigest()
    assert array_digest(array) == "dacc49fb3b447c696a90a6223e440afb851da0b542e691300216352cd0362272"


ONE_BIT_MORE = np.nextafter(np.float32(1), np.float32(2))


@pytest.mark.parametrize(
    "other",
    [
        np.array([ONE_BIT_MORE, 0], np.float32),
        np.array([1, -0.0], np.float32),
        np.array([0, 1], np.float32),
        np.array([[1, 0]], np.float32),
        np.array([1, 0], np.float64),
        np.array([1, 0], np.float32).view(np.int32),
        np.array([1, 0, 0], np.float32),
    ],
    ids=["one bit", "negative zero", "order", "shape", "width", "dtype of equal bytes", "length"],
)
def test_a_digest_tells_arrays_apart_by(other):
    assert array_digest(other) != array_digest(np.array([1, 0], np.float32))


def test_a_scalar_and_an_array_of_one_differ():
    assert array_digest(np.array(1, np.float32)) != array_digest(np.array([1], np.float32))


@pytest.mark.parametrize(
    ("kept", "size", "expected"),
    [
        (4, 8, 1.0),  # one bit each
        (8, 8, 0.0),
        (0, 8, 0.0),
        (4, 16, 16 * 0.8112781244591328 / 8),  # H(1/4) = 2 - 0.75 log2 3
        (200, 1000, 1000 * 0.7219 / 8),  # H(0.2), as in the tables of the literature
        (10, 1000, 1000 * 0.0808 / 8),
    ],
)
def test_mask_entropy_is_that_worked_out_by_hand(kept, size, expected):
    one = tensor(mask=np.arange(size) < kept)
    assert mask_entropy_bytes((one,)) == pytest.approx(expected, rel=1e-3)
    assert mask_entropy_bytes((one, one)) == pytest.approx(2 * mask_entropy_bytes((one,)))


def test_mask_entropy_is_counted_per_layer():
    """A full and an empty layer cost nothing, though half of their weights together are kept."""
    assert mask_entropy_bytes((tensor(mask=np.ones(8, bool)), tensor(mask=np.zeros(8, bool)))) == 0.0
    assert math.isclose(mask_entropy_bytes((tensor(mask=np.arange(16) % 2 == 0),)), 2.0)


def test_flips_add_the_entropy_of_bits_over_the_kept_and_draws_add_none():
    mask = np.arange(16) % 2 == 0  # two bytes
    flips = np.arange(8) < 4  # one
    binary = tensor(mask=mask, gain=np.float32(1))
    assert bits_entropy_bytes(binary) == 2.0
    assert bits_entropy_bytes(dataclasses.replace(binary, flips=flips)) == 3.0
    moved = tensor(mask=mask, draws=np.int16([1] * 8), sources=np.int32(range(8)))
    assert bits_entropy_bytes(moved) == 2.0


def test_weights_are_rebuilt_without_torch():
    """A device with numpy alone can turn a ticket into weights."""
    code = """
import sys
sys.modules["torch"] = None
import numpy as np
from recycle_pipeline.models.subnetwork import MaskedTensor
t = MaskedTensor("conv", "kaiming_normal", np.float32(1), np.ones((2, 3), bool))
assert t.weights(0).shape == (2, 3)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("density", [0, 0.001, 0.03, 0.034, 0.064, 0.1, 0.101, 0.5, 1])
@pytest.mark.parametrize("size", [0, 1, 7, 1000, 70_001])
def test_places_are_those_of_set_bits_at_any_density(density, size):
    bits = np.random.default_rng(size).random(size) < density
    found = places_of(bits)
    assert found.dtype == np.intp and found.tolist() == bits.nonzero()[0].tolist()


def test_a_layer_of_several_blocks_is_rebuilt_as_its_parts_are():
    rng = np.random.default_rng(5)
    mask = rng.random(2 * BLOCK + 77) < 0.08
    kept = np.flatnonzero(mask)
    draws, sources = rng.integers(0, 3, len(kept)), rng.integers(0, mask.size, len(kept))
    head = "conv", "kaiming_normal", SCALE, mask
    whole = MaskedTensor(*head, draws=draws.astype(np.int16), sources=sources.astype(np.int32)).weights(SEED)
    for draw in range(3):
        expected = weights_at(stream_key(SEED, "conv", draw), sources[draws == draw], head[1], SCALE)
        assert np.array_equal(whole[kept[draws == draw]], expected)
    flips = rng.random(len(kept)) < 0.3
    signed = MaskedTensor(*head, gain=np.float32(2), flips=flips).weights(SEED)
    negative = signs_at(stream_key(SEED, "conv"), kept) ^ flips
    assert np.array_equal(signed[kept], np.where(negative, np.float32(-2), np.float32(2)))
    assert not signed[~mask].any() and not whole[~mask].any()
