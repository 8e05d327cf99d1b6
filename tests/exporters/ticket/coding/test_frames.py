"""Frames: what is damaged is refused; and symbols in them."""

import numpy as np
import pytest

from recycle_pipeline.exporters.ticket.coding.frames import (
    content_of,
    decode_symbols,
    encode_symbols,
    framed,
)
from recycle_pipeline.exporters.ticket.coding.tables import frequencies, of_counts


@pytest.mark.parametrize("content", [b"", b"x", bytes(1000)])
def test_content_comes_back_and_any_change_is_found(content):
    frame = framed(content)
    assert content_of(frame) == content and len(frame) == len(content) + 8
    for place in range(min(len(frame), 20)):
        other = bytearray(frame)
        other[place] ^= 4
        with pytest.raises(ValueError, match=r"length says|CRC-32"):
            content_of(bytes(other))
    for length in range(len(frame)):
        with pytest.raises(ValueError):
            content_of(frame[:length])


def test_segments_without_symbols_are_allowed_among_others_and_alone():
    table = frequencies(1, 3)
    symbols = np.array([3, 1, 255], np.uint8)
    none = np.zeros(0, np.uint8)
    for parts in ([], [(none, table)], [(none, table), (symbols, table), (none, table)]):
        found = decode_symbols(encode_symbols(parts), [(len(s), t) for s, t in parts])
        assert [f.tolist() for f in found] == [s.tolist() for s, _ in parts]


def test_content_that_is_no_words_is_refused():
    for content in (b"", b"12", b"123", b"12345"):
        with pytest.raises(ValueError, match="bytes are no words"):
            decode_symbols(framed(content), [])


def test_more_symbols_than_its_lanes_may_have_are_refused_before_any_is_decoded():
    """A lane is decoded one symbol after the other: a small file could take hours."""
    table = of_counts([1000])
    frame = framed(np.array([1, 0, 0, 0, 1, *[0] * 1995], "<u2").tobytes())  # one lane, 4,000 bytes
    with pytest.raises(ValueError, match="20097 symbols in 1 lanes, more than 20096 a lane"):
        decode_symbols(frame, [(20_097, table)])
    with pytest.raises(ValueError, match="left over"):
        decode_symbols(frame, [(20_096, table)])


@pytest.mark.parametrize("total", [1, 2047, 2048, 4095, 4096, 300_000, 1_100_000])
def test_what_is_written_has_lanes_enough_for_its_symbols(total):
    table = of_counts([total])
    (found,) = decode_symbols(encode_symbols([(np.zeros(total, np.uint8), table)]), [(total, table)])
    assert len(found) == total
