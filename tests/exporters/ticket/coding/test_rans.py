"""The coder against a decoder in plain integers, symbol by symbol."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recycle_pipeline.exporters.ticket.coding.rans import decode, encode
from recycle_pipeline.exporters.ticket.coding.tables import frequencies


def plainly_decoded(words, segments, lanes, bits):
    """As the docstring of `rans` says it, without numpy."""
    words = [int(word) for word in words]
    each = 1 + 32 // bits
    x = [sum(words[each * lane + i] << bits * i for i in range(each)) for lane in range(lanes)]
    taken, found = each * lanes, []
    for count, table in segments:
        symbols = []
        for index in range(count):
            lane = index % lanes
            slot, start, symbol = x[lane] % 65536, 0, 0
            while slot >= start + int(table[symbol]):
                start += int(table[symbol])
                symbol += 1
            frequency = int(table[symbol])
            x[lane] = frequency * (x[lane] // 65536) + slot - start
            if x[lane] < 1 << 32:
                x[lane] = (x[lane] << bits) + words[taken]
                taken += 1
            symbols.append(symbol)
        found.append(symbols)
    assert taken == len(words) and {each >> 32 for each in x} == {1}
    return found, [each & 0xFFFFFFFF for each in x]


TABLES = [
    frequencies(1, 2),
    frequencies(1, 10),
    frequencies(9, 10),
    frequencies(1, 100),
    frequencies(1, 10**6),
]


@st.composite
def segments(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(0, 4))
    return [
        (rng.choice(256, draw(st.integers(0, 300)), p=table / 65536).astype(np.uint8), table)
        for table in (TABLES[draw(st.integers(0, len(TABLES) - 1))] for _ in range(count))
    ]


@settings(max_examples=60, deadline=None)
@given(segments(), st.integers(1, 40), st.booleans(), st.sampled_from([16, 32]))
def test_what_is_encoded_and_what_lanes_carry_is_decoded_by_both(parts, lanes, carry, bits):
    carried = np.arange(lanes, dtype=np.uint32) * np.uint32(0x9E3779B1 * carry)
    words = encode(parts, lanes, carried if carry else None, bits)
    sizes = [(len(symbols), table) for symbols, table in parts]
    expected = [symbols.tolist() for symbols, _ in parts], carried.tolist()
    found, also = decode(words, sizes, lanes, bits)
    assert ([symbols.tolist() for symbols in found], also.tolist()) == expected
    assert plainly_decoded(words, sizes, lanes, bits) == expected


def test_unlikely_symbols_are_coded_too():
    table = frequencies(1, 10**6)
    symbols = np.arange(256, dtype=np.uint8)
    assert (decode(encode([(symbols, table)], 3), [(256, table)], 3)[0][0] == symbols).all()


def test_a_stream_is_as_long_as_its_symbols_are_unlikely():
    table, lanes = frequencies(1, 10), 8
    symbols = np.random.default_rng(0).choice(256, 100_000, p=table / 65536).astype(np.uint8)
    bits = -np.log2(table[symbols] / 65536).sum()
    assert 0 < 16 * len(encode([(symbols, table)], lanes)) - bits < 48 * lanes + 1e-4 * bits


@pytest.fixture
def coded():
    table = frequencies(1, 5)
    symbols = np.random.default_rng(1).choice(256, 200, p=table / 65536).astype(np.uint8)
    return encode([(symbols, table)], 4), [(200, table)], symbols


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda words: words[:11], "11 words are too few for 4 lanes"),
        (lambda words: words[:-1], "the words end before the symbols do"),
        (lambda words: np.append(words, np.uint16(0)), "1 words are left over"),
        (lambda words: np.where(np.arange(len(words)) == 2, 0, words), "a lane begins below its range"),
    ],
)
def test_words_of_other_symbols_are_refused(coded, spoil, said):
    words, sizes, _ = coded
    with pytest.raises(ValueError, match=said):
        decode(spoil(words).astype(np.uint16), sizes, 4)


def test_no_single_word_may_be_another(coded):
    """A changed word gives other symbols, and is seen at the end unless all states come out right."""
    words, sizes, symbols = coded
    for place in range(len(words)):
        other = words.copy()
        other[place] ^= 1 << 10
        try:
            (found,), carried = decode(other, sizes, 4)
        except ValueError:
            continue
        assert (found != symbols).any() or carried.any()
