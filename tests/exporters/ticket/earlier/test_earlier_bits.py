"""Bits of versions 1 and 2: what went in comes out; damaged and hostile streams are refused."""

import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recycle_pipeline.exporters.ticket.earlier.bits import decode_bits


def deflated(packed: bytes) -> np.ndarray:
    """A valid raw deflate stream around any bytes."""
    coder = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return np.frombuffer(coder.compress(packed) + coder.flush(), np.uint8)


def encode_bits(bits: np.ndarray) -> np.ndarray:
    return deflated(np.packbits(bits.reshape(-1), bitorder="little").tobytes())


BITS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=19))


@settings(max_examples=200, deadline=None)
@given(bits=BITS)
def test_bits_survive(bits):
    decoded = decode_bits(encode_bits(bits), bits.size)
    assert decoded.dtype == np.bool_
    assert decoded.shape == (bits.size,)
    assert np.array_equal(decoded, bits.reshape(-1))


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 63, 64, 65, 70_001])
@pytest.mark.parametrize("value", [False, True])
def test_none_and_all_survive_at_any_size(size, value):
    assert np.array_equal(decode_bits(encode_bits(np.full(size, value)), size), np.full(size, value))


def test_the_first_bit_is_the_lowest_of_the_first_byte():
    """Written down for readers in other languages: packed little-endian, deflated without a zlib header."""
    bits = np.array([1, 0, 0, 0, 0, 0, 1, 0, 0, 1], np.bool_)
    assert zlib.decompress(encode_bits(bits).tobytes(), -zlib.MAX_WBITS) == bytes([0b01000001, 0b10])


def test_a_transposed_array_is_coded_in_c_order():
    bits = np.arange(15).reshape(3, 5).T % 3 == 0
    assert np.array_equal(decode_bits(encode_bits(bits), 15), bits.reshape(-1))


def test_what_is_decoded_can_be_written_to():
    bits = decode_bits(encode_bits(np.zeros(9, np.bool_)), 9)
    bits[0] = True
    assert bits.sum() == 1


@settings(max_examples=100, deadline=None)
@given(bits=hnp.arrays(np.bool_, st.integers(1, 100)), wrong=st.integers(0, 120))
def test_another_count_is_refused_or_drops_zeros_of_the_last_byte_alone(bits, wrong):
    try:
        decoded = decode_bits(encode_bits(bits), wrong)
    except ValueError:
        return
    assert (wrong + 7) // 8 == (bits.size + 7) // 8
    assert decoded.sum() == bits.sum()


BITS_70 = np.random.default_rng(1).random(70) < 0.3


@pytest.mark.parametrize("length", range(encode_bits(BITS_70).size))
def test_a_stream_cut_anywhere_is_refused(length):
    with pytest.raises(ValueError):
        decode_bits(encode_bits(BITS_70)[:length], 70)


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (np.zeros(0, np.uint8), "expected 9 packed bytes for 70 bits, got 0"),
        (np.full(20, 7, np.uint8), "invalid block type"),
        (np.frombuffer(zlib.compress(np.packbits(BITS_70).tobytes()), np.uint8), "invalid"),
        (deflated(bytes(8)), "got 8"),
        (deflated(bytes(10)), "got 10"),
        (deflated(bytes(9))[:-1], "expected 9 packed bytes"),
        (np.append(deflated(bytes(9)), np.uint8(0)), "expected 9 packed bytes"),
        (np.concatenate([deflated(bytes(9))] * 2), "expected 9 packed bytes"),
        (deflated(bytes([0] * 8 + [0b01000000])), "padding bits are not zero"),
        (deflated(bytes([255] * 9)), "padding bits are not zero"),
    ],
    ids=["empty", "garbage", "zlib", "short", "long", "cut", "trailing", "twice", "padding", "full padding"],
)
def test_a_stream_of_something_else_is_refused(stream, message):
    with pytest.raises(ValueError, match=message):
        decode_bits(stream, 70)


@settings(max_examples=300, deadline=None)
@given(stream=st.binary(max_size=40), count=st.integers(0, 90))
def test_any_bytes_are_refused_by_a_value_error_or_are_count_bits(stream, count):
    try:
        bits = decode_bits(np.frombuffer(stream, np.uint8), count)
    except ValueError:
        return
    assert bits.shape == (count,)


@pytest.mark.parametrize("count", [0, 1, 100, 80_000])
def test_a_bomb_takes_no_more_memory_than_its_count_allows(count):
    """64 MiB of zeros in 65 kB; needed are count / 8 + 1 bytes, copies of the stream, and zlib's window."""
    bomb = deflated(bytes(1 << 26))
    assert bomb.size < 70_000
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="packed bytes"):
            decode_bits(bomb, count)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * (count // 8 + 1) + 3 * bomb.size + 65_536


def test_the_decoder_is_never_asked_for_more_than_one_byte_beyond_its_count(monkeypatch):
    asked = []

    class Recording:
        def __init__(self, wbits: int) -> None:
            self.inner = zlib_decompressobj(wbits)

        def decompress(self, data: bytes, most: int) -> bytes:
            asked.append(most)
            return self.inner.decompress(data, most)

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

    zlib_decompressobj = zlib.decompressobj
    monkeypatch.setattr(zlib, "decompressobj", Recording)
    with pytest.raises(ValueError):
        decode_bits(deflated(bytes(1 << 20)), 100)
    assert asked == [14]
