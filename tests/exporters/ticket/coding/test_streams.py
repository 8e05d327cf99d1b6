"""Vectors of bits as a stream: round trips, size against the entropy, and damage."""

import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recycle_pipeline.exporters.ticket.coding.frames import WIDE, framed
from recycle_pipeline.exporters.ticket.coding.streams import Counts, counts_of, decode_bits, encode_bits


@st.composite
def vectors(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    densities = st.sampled_from([0.0, 0.0004, 0.004, 0.05, 1 / 16, 0.1, 0.5, 0.9, 1.0])
    return [rng.random(draw(st.integers(0, 3000))) < draw(densities) for _ in range(draw(st.integers(0, 5)))]


@settings(max_examples=120, deadline=None)
@given(vectors())
def test_what_is_encoded_is_decoded(bits):
    found = decode_bits(encode_bits(bits), counts_of(bits))
    assert [v.tolist() for v in found] == [v.tolist() for v in bits]
    assert all(v.dtype == np.bool_ for v in found)


@pytest.mark.parametrize("gap", [0, 1, 253, 254, 255, 256, 509, 510, 511, 5100])
@pytest.mark.parametrize("tail", [0, 1, 255, 256])
def test_gaps_around_the_escape(gap, tail):
    bits = np.zeros(gap + 1 + tail + 20, np.bool_)
    bits[[gap, gap + 1]] = True
    assert (decode_bits(encode_bits([bits]), counts_of([bits]))[0] == bits).all()


def test_a_shape_is_not_kept_and_a_vector_of_one_kind_costs_nothing():
    bits = [np.zeros((3, 4), np.bool_), np.ones((2, 2), np.bool_), np.zeros(0, np.bool_)]
    stream = encode_bits(bits)
    assert len(stream) == 12
    assert [v.tolist() for v in decode_bits(stream, counts_of(bits))] == [[False] * 12, [True] * 4, []]


@pytest.mark.parametrize("density", [0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.002])
def test_a_stream_is_within_a_percent_of_the_entropy(density):
    bits = np.random.default_rng(0).random(2_000_000) < density
    p = bits.mean()
    entropy = -bits.size * (p * math.log2(p) + (1 - p) * math.log2(1 - p)) / 8
    assert len(encode_bits([bits])) < 1.01 * entropy + 192


def test_the_bytes_never_change():
    """Golden: what an earlier version wrote is what this one writes."""
    rng = np.random.default_rng(7)  # its bits are part of numpy's promise for a fixed bit generator
    words = rng.bit_generator.random_raw(40_000)
    bits = [words[:10_000] % 10 == 0, words[10_000:] % 97 == 0, words[:77] % 2 == 0]
    assert hashlib.sha256(encode_bits(bits)).hexdigest() == GOLDEN
    assert hashlib.sha256(encode_bits(bits, bits=WIDE)).hexdigest() == GOLDEN_WIDE


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
                decode_bits(bytes(other), counts_of(bits))


def test_no_part_may_be_missing(coded):
    stream, bits = coded
    for length in range(len(stream)):
        with pytest.raises(ValueError):
            decode_bits(stream[:length], counts_of(bits))
    with pytest.raises(ValueError, match="its length says"):
        decode_bits(stream + bytes(4), counts_of(bits))


def forged(lanes, *words):
    """A frame with a right length and CRC over wrong content."""
    return framed(np.array(lanes, "<u4").tobytes() + np.array(words, "<u2").tobytes())


@pytest.mark.parametrize(
    ("words", "counts", "said"),
    [
        ([1], [], "words where nothing is coded"),
        ([0, 5], [(9, 9)], "words where nothing is coded"),
        ([0], [(1000, 300)], "0 lanes, expected 1 to 4096"),
        ([4097], [(1000, 300)], "4097 lanes"),
        ([1], [(1000, 300)], "0 words are too few for 1 lanes"),
        ([4096, 3], [(1000, 3, 3)], "1 words are too few for 4096 lanes"),
        ([1, 0, 0, 1 << 15], [(8, 4)], "a lane does not end"),
        ([1], [(1000, 3, 2)], "2 gaps for 3 of 1000 bits"),
        ([1], [(1000, 3, 7)], "7 gaps for 3 of 1000 bits"),
        ([1], [(1000, 300, 1)], "1 gaps for 300 of 1000 bits"),
        ([1], [(9, 9, 1)], "1 gaps for 9 of 9 bits"),
    ],
)
def test_content_that_cannot_be_is_refused(words, counts, said):
    with pytest.raises(ValueError, match=said):
        decode_bits(forged(*words), [Counts(*each) for each in counts])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_a_stream_claims_it_is_refused_or_of_the_counts_asked(data):
    words = data.draw(st.lists(st.integers(0, 2**16 - 1), max_size=18))
    lanes = data.draw(st.integers(0, 3))
    sizes = data.draw(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 40)), max_size=3))
    counts = [Counts(size, min(kept, size)) for size, kept in sizes]
    counts = [replace(c, gaps=c.kept) if 0 < 16 * c.kept < c.size else c for c in counts]
    try:
        found = decode_bits(forged(lanes, *words), counts)
    except ValueError:
        return
    assert [(v.size, v.sum()) for v in found] == [(c.size, c.kept) for c in counts]


def test_other_counts_than_were_encoded_are_refused(coded):
    stream, bits = coded
    first, *others = counts_of(bits)
    for kept, size in ((1, 0), (0, 8), (0, -8)):
        with pytest.raises(ValueError):
            decode_bits(stream, [replace(first, kept=first.kept + kept, size=first.size + size), *others])


GOLDEN = "d95c221189580210e07db742540a73641bc7178e535970b43cf788e43e1e7454"
GOLDEN_WIDE = "4d0ca85583dd1054ae88e48b6c04da3ca2e7bc58fb1991b00f2a64d5898d28f3"
