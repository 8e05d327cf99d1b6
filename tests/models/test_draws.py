"""Draws: the bits against big-integer arithmetic, the streams, and golden digests."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recycle_pipeline.models.draws import (
    INITS,
    MAX_RUN,
    MAX_SEED,
    bits_at,
    check_seed,
    high_bits,
    high_bits_at,
    signs_at,
    stream_key,
    weights_at,
)
from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.models.normal_table import half_normal

WORD = 2**64 - 1
BLOCK = 1 << 15  # indices that weights_at and signs_at handle at a time
SCALE = np.float32(0.1)


def splitmix64(key, index):
    """Output `index` of splitmix64 started at `key`, in Python integers."""
    z = (key + (index + 1) * 0x9E3779B97F4A7C15) & WORD
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & WORD
    return z ^ (z >> 31)


def weight_of(word, init, scale):
    """One 64-bit output as a weight, from the table of bits in the docstring of `draws`."""
    sign = -1 if word >> 63 else 1
    if init == "kaiming_normal":
        magnitude = half_normal()[(word >> 47) & 0xFFFF]
    elif init == "kaiming_uniform":
        magnitude = np.float32((2 * ((word >> 40) & 0x7FFFFF) + 1) / 2**24)
    else:
        magnitude = np.float32(1)
    return np.float32(sign) * (magnitude * scale)


def sha(array):
    return hashlib.sha256(array.astype(array.dtype.newbyteorder("<")).tobytes()).hexdigest()


def test_the_generator_is_the_published_splitmix64():
    """First outputs for the state 1234567, as published with other implementations of splitmix64."""
    published = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert bits_at(1234567, np.arange(5, dtype=np.uint64)).tolist() == published
    assert [splitmix64(1234567, i) for i in range(5)] == published


@given(key=st.integers(0, WORD), start=st.integers(0, 2**62))
@settings(max_examples=200, deadline=None)
def test_bits_are_those_of_big_integers(key, start):
    indices = start + np.arange(3, dtype=np.uint64)
    assert bits_at(key, indices).tolist() == [splitmix64(key, start + i) for i in range(3)]


@pytest.mark.parametrize("init", INITS)
def test_a_weight_is_sign_and_magnitude_of_its_word(init):
    key = stream_key(3, "conv1")
    indices = np.r_[0:40, BLOCK - 20 : BLOCK + 20, 3 * BLOCK - 2 : 3 * BLOCK + 2]
    expected = np.array([weight_of(splitmix64(key, int(i)), init, SCALE) for i in indices], np.float32)
    np.testing.assert_array_equal(weights_at(key, indices, init, SCALE), expected)
    every = weights_at(key, np.arange(3 * BLOCK + 2), init, SCALE)
    np.testing.assert_array_equal(every[indices], expected)


@pytest.mark.parametrize("init", INITS)
def test_order_of_asking_does_not_change_a_weight(init):
    key = stream_key(0, "conv1")
    shuffled = np.random.default_rng(0).permutation(2 * BLOCK + 7)
    every = weights_at(key, np.arange(2 * BLOCK + 7), init, SCALE)
    np.testing.assert_array_equal(weights_at(key, shuffled, init, SCALE), every[shuffled])
    np.testing.assert_array_equal(
        weights_at(key, shuffled[:5].astype(np.int32), init, SCALE), every[shuffled[:5]]
    )


@pytest.mark.parametrize("init", INITS)
def test_all_inits_share_the_sign_bit(init):
    key, indices = stream_key(1, "linear1"), np.arange(BLOCK + 100)
    np.testing.assert_array_equal(signs_at(key, indices), np.signbit(weights_at(key, indices, init, SCALE)))


@pytest.mark.parametrize("init", INITS)
def test_no_drawn_weight_is_zero(init):
    """sign(0) would be a third value of a binary weight."""
    lowest = {"kaiming_normal": half_normal()[0], "kaiming_uniform": 2**-24, "signed_constant": 1}[init]
    values = np.abs(weights_at(stream_key(0, "a"), np.arange(300_000), init, np.float32(1)))
    assert values.min() >= lowest > 0


def test_asking_for_nothing_gives_nothing():
    none = np.arange(0)
    assert weights_at(1, none, "kaiming_normal", SCALE).shape == signs_at(1, none).shape == (0,)


def test_a_key_is_the_hash_of_its_canonical_description():
    head = b"recycle-pipeline/draw/1/pick\0"
    described = head + (7).to_bytes(8, "little") + (300).to_bytes(4, "little") + b"layer1.0.conv1"
    expected = int.from_bytes(hashlib.sha256(described).digest()[:8], "little")
    assert stream_key(7, "layer1.0.conv1", 300, "pick") == expected


def test_seed_layer_draw_and_purpose_each_change_the_stream():
    keys = {
        stream_key(seed, layer, draw, purpose)
        for seed in (0, 1, 2**62)
        for layer in ("conv1", "conv2", "conv11", "")
        for draw in (0, 1, 256)
        for purpose in ("weight", "score", "pick")
    }
    assert len(keys) == 3 * 4 * 3 * 3


@pytest.mark.parametrize("seed", [0, 1, MAX_SEED])
def test_a_seed_within_the_limits_is_returned(seed):
    assert check_seed(seed) == seed


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1, 1.0, "1", None, True])
def test_a_seed_outside_the_limits_is_refused(seed):
    with pytest.raises(UsageFault, match=f"expected an integer from 0 to {2**63 - 1}"):
        check_seed(seed)
    with pytest.raises(UsageFault, match="out of range"):
        stream_key(seed, "conv1")


@pytest.mark.parametrize(
    ("stream", "key", "digest"),
    [
        (
            (0, "conv1"),
            0xAFAA0DA30EB40541,
            "9fd34c4a9bcd2c47f1b5bb8a8b6f9407812e086fcc3e9d477ce3fd250143ddc2",
        ),
        (
            (0, "conv1", 1),
            0xD5988E76BDFCF724,
            "484eb02b2b20c0722f497cbb6e3b1c0ca5e1b2dfafff584f216592c841cee7e2",
        ),
        (
            (0, "conv1", 0, "score"),
            0x7CDAEF417C8582B4,
            "4c46e580c6436fc7845a1e380a6d806e0794825dd34ee30f1b95842bf1006613",
        ),
        (
            (0, "conv1", 1, "pick"),
            0xE46A165A6CF8D537,
            "a2bde42d82cbfbe181c613c676b35f12991d094530b337976470db4097543e7b",
        ),
        (
            (MAX_SEED, "layer1.0.conv1", 32767),
            0xBF233F76AE364E6A,
            "848dc5531e3d002f8e92a64e92bb49c13d2e4361b605fd229dd26b687d61dbb4",
        ),
    ],
)
def test_streams_never_change(stream, key, digest):
    """A ticket stores a seed in place of its weights.

    If this test fails, every ticket written so far rebuilds to another network: the digests must not be
    updated. Another generator needs another prefix in `stream_key` and another ticket version.
    """
    assert stream_key(*stream) == key
    assert sha(bits_at(key, np.arange(1000, dtype=np.uint64))) == digest


@pytest.mark.parametrize(
    ("init", "digest"),
    [
        ("kaiming_normal", "7c98d0526c9716089f7af05dcdf086142ab8271f10c0339018382dbbf0719677"),
        ("kaiming_uniform", "741f34dc41c5234dba8a99eb8f7f527c0aa9abab3af84dc306241cd3477056a2"),
        ("signed_constant", "146808df10ae314f74a0306517069bd86655c3c5d1527b20f895ec2bee82ecf2"),
    ],
)
def test_weights_of_a_seed_never_change(init, digest):
    """The same for the step from words to float32: see `test_streams_never_change`."""
    assert sha(weights_at(stream_key(0, "conv1"), np.arange(70_000), init, SCALE)) == digest


@pytest.mark.parametrize("first", [0, 1, 10**6])
@pytest.mark.parametrize("count", [1, 1000, MAX_RUN])
def test_high_bits_are_those_of_the_outputs_in_runs_and_at_places(first, count):
    places = np.arange(first, first + count)
    expected = bits_at(2**64 - 1, places.astype(np.uint64)) >> np.uint64(33)
    out, scratch = np.empty((2, count), np.uint64)
    high_bits(2**64 - 1, first, out, scratch)
    assert np.array_equal(out >> np.uint64(33), expected)
    assert np.array_equal(high_bits_at(2**64 - 1, places) >> np.uint64(33), expected)
