"""Frames: bytes with their length and CRC-32 before them; and symbols as words in a frame.

    length   of what follows the CRC, in bytes
    crc      CRC-32 of what follows
    content

Numbers are little-endian, unsigned and, but for words, of four bytes. The content of a frame of symbols is

    lanes    1 to 4096; 0 if there are no symbols, and no words then
    words    as `rans` has them, to the end; of two bytes, in version 3 of four
"""

import math
import zlib
from collections.abc import Sequence

import numpy as np

from recycle_pipeline.exporters.ticket.coding import rans
from recycle_pipeline.exporters.ticket.coding.tables import Frequencies

NUMBER = 4  # bytes
NARROW, WIDE = 16, 32  # bits of a word: in version 4, in version 3
MAX_LANES = 4096
MAX_SYMBOLS_PER_BYTE = 1536  # the likeliest symbol has a frequency of at most 65,281: 1,422 of it take a byte
# Symbols of a lane are decoded one after the other: without this bound a small file could take hours.
MAX_STEPS, MAX_STEPS_PER_BYTE = 4096, 4
# A lane costs five bytes beyond what it holds, or one if it carries four; few lanes are slow, for numpy does
# one symbol of each at once.
WRITTEN_LANES = 1536
BYTES_PER_LANE = 400  # that carries something; of others twice as many: half a percent or less are theirs
SOON = 1 << 18  # bytes: of what is soon decoded anyway lanes take a fourth as much


def framed(content: bytes) -> bytes:
    """The content in its frame."""
    return np.array([len(content), zlib.crc32(content)], "<u4").tobytes() + content


def content_of(frame: bytes) -> bytes:
    """The inverse. Raises ValueError if the frame is not whole."""
    if len(frame) < 2 * NUMBER:
        raise ValueError(f"{len(frame)} bytes are no frame")
    length, crc = np.frombuffer(frame[: 2 * NUMBER], "<u4").tolist()
    content = frame[2 * NUMBER :]
    if length != len(content):
        raise ValueError(f"{len(content)} bytes, its length says {length}")
    if crc != zlib.crc32(content):
        raise ValueError("its CRC-32 does not match")
    return content


def lanes_of(frame: bytes) -> int:
    """Of a frame of symbols."""
    return int(np.frombuffer(frame[2 * NUMBER : 3 * NUMBER], "<u4")[0])


def encode_symbols(
    segments: Sequence[tuple[rans.Symbols, Frequencies]],
    reserve: bytearray | None = None,
    bits: int = NARROW,
) -> bytes:
    """A frame of symbols.

    Args:
        segments: (n,) symbols and their (256,) frequencies.
        reserve: bytes that lanes may carry; those that they do are taken off its beginning.
        bits: of a word.
    """
    total = sum(len(symbols) for symbols, _ in segments)
    if not total:
        return framed(bytes(NUMBER))
    lanes = _lanes(total, _bytes_of(segments), reserve)
    carried = np.zeros(lanes, np.uint32)
    if reserve:
        own = bytes(reserve[: NUMBER * lanes]).ljust(NUMBER * lanes, b"\0")
        carried = np.frombuffer(own, "<u4").astype(np.uint32)
        del reserve[: NUMBER * lanes]
    words = rans.encode(segments, lanes, carried, bits)
    return framed(lanes.to_bytes(NUMBER, "little") + words.tobytes())


def _lanes(total: int, taken: int, reserve: bytearray | None) -> int:
    """How many for so many symbols of so many bytes."""
    soon = reserve is not None and taken <= SOON
    each, symbols, root = (4 * BYTES_PER_LANE, 3072, 8) if soon else (BYTES_PER_LANE, 2048, 5)
    by_number = max(math.isqrt(total) // root, total // symbols)
    by_bytes = max(taken // (2 * each), min(taken // each, len(reserve or b"") // NUMBER))
    return max(1, min(WRITTEN_LANES, max(by_number, by_bytes)))


def _bytes_of(segments: Sequence[tuple[rans.Symbols, Frequencies]]) -> int:
    """About what they take."""
    counts = (np.bincount(symbols, minlength=len(table)) for symbols, table in segments)
    bits = (n @ (16 - np.log2(table)) for n, (_, table) in zip(counts, segments, strict=True))
    return int(sum(bits) // 8)


def decode_symbols(
    frame: bytes, segments: Sequence[tuple[int, Frequencies]], bits: int = NARROW
) -> list[rans.Symbols]:
    """The inverse, of lanes that carry nothing. See `decode_carrying`. Raises ValueError if they do."""
    found, carried = decode_carrying(frame, segments, bits)
    if any(carried):
        raise ValueError("a lane does not end where encoding begins")
    return found


def decode_carrying(
    frame: bytes, segments: Sequence[tuple[int, Frequencies]], bits: int = NARROW
) -> tuple[list[rans.Symbols], bytes]:
    """The inverse, and the bytes that the lanes carry, four each.

    Memory is bounded by the numbers of symbols, whatever the frame holds.

    Args:
        frame: the whole of it.
        segments: the number of symbols, and their frequencies.
        bits: of a word.

    Raises:
        ValueError: the frame is damaged, or not of these segments.
    """
    content = content_of(frame)
    kind = rans.KINDS[bits]
    if len(content) < NUMBER or len(content) % kind.itemsize:
        raise ValueError(f"{len(content)} bytes are no words")
    words, lanes = np.frombuffer(content, kind, offset=NUMBER), int.from_bytes(content[:NUMBER], "little")
    if not any(count for count, _ in segments):
        if lanes or len(words):
            raise ValueError("it holds words where nothing is coded")
        return [np.zeros(0, np.uint8) for _ in segments], b""
    if (total := sum(count for count, _ in segments)) > MAX_SYMBOLS_PER_BYTE * len(content):
        raise ValueError(f"{total} symbols in {len(content)} bytes, more than {MAX_SYMBOLS_PER_BYTE} a byte")
    if not 1 <= lanes <= MAX_LANES:
        raise ValueError(f"{lanes} lanes, expected 1 to {MAX_LANES}")
    if total > lanes * (most := MAX_STEPS + MAX_STEPS_PER_BYTE * len(content)):
        raise ValueError(f"{total} symbols in {lanes} lanes, more than {most} a lane")
    found, carried = rans.decode(words, segments, lanes, bits)
    return found, carried.astype("<u4").tobytes()
