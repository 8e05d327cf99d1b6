"""Frames: what is damaged is refused; and symbols in them."""

import numpy as np
import pytest

from recycle_pipeline.exporters.ticket.coding.frames import (
    content_of,
    decode_symbols,
    encode_symbols,
    framed,
)
from recycle_pipeline.exporters.ticket.coding.tables import frequencies


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
    for content in (b"", b"123", b"12345"):
        with pytest.raises(ValueError, match="bytes are no words"):
            decode_symbols(framed(content), [])
