"""Vectors of bits as a stream: round trips, size against the entropy, and damage."""

import hashlib
import math
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recycle_pipeline.exporters.ticket.coding.streams import decode_bits, encode_bits


def sizes_of(vectors):
    return [(vector.size, int(vector.sum())) for vector in vectors]


@st.composite
def vectors(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    densities = st.sampled_from([0.0, 0.0004, 0.004, 0.05, 1 / 16, 0.1, 0.5, 0.9, 1.0])
    return [rng.random(draw(st.integers(0, 3000))) < draw(densities) for _ in range(draw(st.integers(0, 5)))]


@settings(max_examples=120, deadline=None)
@given(vectors())
def test_what_is_encoded_is_decoded(bits):
    found = decode_bits(encode_bits(bits), sizes_of(bits))
    assert [v.tolist() for v in found] == [v.tolist() for v in bits]
    assert all(v.dtype == np.bool_ for v in found)


@pytest.mark.parametrize("gap", [0, 1, 253, 254, 255, 256, 509, 510, 511, 5100])
@pytest.mark.parametrize("tail", [0, 1, 255, 256])
def test_gaps_around_the_escape(gap, tail):
    bits = np.zeros(gap + 1 + tail + 20, np.bool_)
    bits[[gap, gap + 1]] = True
    assert (decode_bits(encode_bits([bits]), sizes_of([bits]))[0] == bits).all()


def test_a_shape_is_not_kept_and_a_vector_of_one_kind_costs_nothing():
    bits = [np.zeros((3, 4), np.bool_), np.ones((2, 2), np.bool_), np.zeros(0, np.bool_)]
    stream = encode_bits(bits)
    assert len(stream) == 12
    assert [v.tolist() for v in decode_bits(stream, sizes_of(bits))] == [[False] * 12, [True] * 4, []]


@pytest.mark.parametrize("density", [0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.002])
def test_a_stream_is_within_half_a_percent_of_the_entropy(density):
    bits = np.random.default_rng(0).random(2_000_000) < density
    p = bits.mean()
    entropy = -bits.size * (p * math.log2(p) + (1 - p) * math.log2(1 - p)) / 8
    assert len(encode_bits([bits])) < 1.005 * entropy + 32


def test_the_bytes_never_change():
    """Golden: what an earlier version wrote is what this one writes."""
    rng = np.random.default_rng(7)  # its bits are part of numpy's promise for a fixed bit generator
    words = rng.bit_generator.random_raw(40_000)
    bits = [words[:10_000] % 10 == 0, words[10_000:] % 97 == 0, words[:77] % 2 == 0]
    assert hashlib.sha256(encode_bits(bits)).hexdigest() == GOLDEN


@pytest.fixture
def coded():
    rng = np.random.default_rng(3)
    bits = [rng.random(900) < 0.2, rng.random(4000) < 0.01, np.ones(3, np.bool_)]
    return encode_bits(bits), bits


def test_no_byte_may_be_another(coded):
    stream, bits = coded
    for place in range(len(stream)):
        for flip in (1, 128):
            other = bytearray(stream)
            other[place] ^= flip
            with pytest.raises(ValueError):
                decode_bits(bytes(other), sizes_of(bits))


def test_no_part_may_be_missing(coded):
    stream, bits = coded
    for length in range(len(stream)):
        with pytest.raises(ValueError):
            decode_bits(stream[:length], sizes_of(bits))
    with pytest.raises(ValueError, match="its length says"):
        decode_bits(stream + bytes(4), sizes_of(bits))


def forged(words):
    """A stream with a right length and CRC over wrong content."""
    body = np.array(words, "<u4").tobytes()
    return np.array([len(body), zlib.crc32(body)], "<u4").tobytes() + body


@pytest.mark.parametrize(
    ("words", "sizes", "said"),
    [
        ([0], [], "0 lanes, expected 1 to 4096"),
        ([4097], [], "4097 lanes"),
        ([1, 5], [], "1 words where nothing is coded"),
        ([1], [(1000, 3)], "too few for 1 vectors"),
        ([1, 2], [(1000, 3)], "2 symbols for 3 of 1000 bits"),
        ([1, 7], [(1000, 3)], "7 symbols for 3 of 1000 bits"),
        ([1], [(1000, 300)], "0 words are too few for 1 lanes"),
        ([4096, 3], [(1000, 3)], "0 words are too few for 4096 lanes"),
        ([1, 0, 1 << 31], [(8, 4)], "a lane does not end"),
    ],
)
def test_content_that_cannot_be_is_refused(words, sizes, said):
    with pytest.raises(ValueError, match=said):
        decode_bits(forged(words), sizes)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_a_stream_claims_it_is_refused_or_of_the_sizes_asked(data):
    words = data.draw(st.lists(st.integers(0, 2**32 - 1), max_size=12))
    lanes = data.draw(st.integers(0, 3))
    sizes = data.draw(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 40)), max_size=3))
    sizes = [(size, min(kept, size)) for size, kept in sizes]
    try:
        found = decode_bits(forged([lanes, *words]), sizes)
    except ValueError:
        return
    assert sizes_of(found) == sizes


def test_other_counts_than_were_encoded_are_refused(coded):
    stream, bits = coded
    (size, kept), *others = sizes_of(bits)
    for wrong in ((size, kept + 1), (size + 8, kept), (size - 8, kept)):
        with pytest.raises(ValueError):
            decode_bits(stream, [wrong, *others])


GOLDEN = "b56e8dcddc9f871c47674d19bfe4b5d32fc9b19693b2f81fe108ce3f526198c7"
