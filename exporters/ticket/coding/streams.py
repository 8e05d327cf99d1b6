"""Vectors of bits as one stream of bytes, close to the entropy of independent bits.

In the order of the bytes, all numbers little-endian, unsigned and of four bytes:

    length   of what follows, in bytes
    crc      CRC-32 of what follows
    lanes    1 to 4096
    counts   for each sparse vector: its number of symbols
    words    as `rans` has them, to the end

How many bits each vector has, and how many are set, the reader must know. A vector with none or all set takes
nothing. See `tables` for symbols and frequencies.
"""

import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket.coding import rans
from recycle_pipeline.exporters.ticket.coding.tables import ESCAPE, frequencies, is_sparse

Bits = NDArray[np.bool_]
WORD_BYTES = 4
PRELUDE = 3  # words before the counts
MAX_LANES = 4096
# A lane costs four bytes beyond what it holds; few lanes are slow, as numpy does one symbol of each at once.
SYMBOLS_PER_LANE, WRITTEN_LANES = 3072, 512


def encode_bits(vectors: Sequence[Bits]) -> bytes:
    """Any number of bool arrays as one stream. Shapes, and how many are set, are not in it."""
    coded = [(vector.reshape(-1), int(np.count_nonzero(vector))) for vector in vectors]
    coded = [(bits, kept) for bits, kept in coded if 0 < kept < bits.size]
    segments, counts = [], []
    for bits, kept in coded:
        sparse = is_sparse(kept, bits.size)
        symbols = _gaps_of(bits) if sparse else np.packbits(bits, bitorder="little")
        segments.append((symbols, frequencies(kept, bits.size)))
        counts += [len(symbols)] if sparse else []
    total = sum(len(symbols) for symbols, _ in segments)
    lanes = max(1, min(WRITTEN_LANES, total // SYMBOLS_PER_LANE))
    words = rans.encode(segments, lanes) if segments else np.zeros(0, np.uint32)
    body = np.concatenate([[lanes], counts, words]).astype("<u4").tobytes()
    return np.array([len(body), zlib.crc32(body)], "<u4").tobytes() + body


def decode_bits(stream: bytes, sizes: Sequence[tuple[int, int]]) -> list[Bits]:
    """The inverse: flat vectors. Memory is bounded by `sizes`, whatever the stream holds.

    Args:
        stream: the whole of it.
        sizes: of each vector its number of bits, and of bits that are set.

    Raises:
        ValueError: the stream is damaged, or not of these vectors.
    """
    words = _opened(stream)
    coded = [(size, kept) for size, kept in sizes if 0 < kept < size]
    sparse = [is_sparse(kept, size) for size, kept in coded]
    if len(words) < PRELUDE + sum(sparse):
        raise ValueError(f"{len(words)} words are too few for {len(coded)} vectors")
    lanes, counts = int(words[PRELUDE - 1]), iter(words[PRELUDE : PRELUDE + sum(sparse)].tolist())
    if not 1 <= lanes <= MAX_LANES:
        raise ValueError(f"{lanes} lanes, expected 1 to {MAX_LANES}")
    segments = [
        (_checked(next(counts), size, kept) if gaps else -(-size // 8), frequencies(kept, size))
        for (size, kept), gaps in zip(coded, sparse, strict=True)
    ]
    rest = words[PRELUDE + sum(sparse) :]
    if not segments and len(rest):
        raise ValueError(f"{len(rest)} words where nothing is coded")
    symbols = iter(rans.decode(rest, segments, lanes) if segments else ())
    return [_vector(size, kept, symbols) for size, kept in sizes]


def _opened(stream: bytes) -> NDArray[np.uint32]:
    """The stream's words, length and CRC checked."""
    if len(stream) < PRELUDE * WORD_BYTES or len(stream) % WORD_BYTES:
        raise ValueError(f"{len(stream)} bytes are not a stream")
    words = np.frombuffer(stream, "<u4").astype(np.uint32)
    if int(words[0]) != len(stream) - 2 * WORD_BYTES:
        raise ValueError(f"{len(stream) - 2 * WORD_BYTES} bytes, its length says {int(words[0])}")
    if int(words[1]) != zlib.crc32(stream[2 * WORD_BYTES :]):
        raise ValueError("its CRC-32 does not match")
    return words


def _gaps_of(bits: Bits) -> NDArray[np.uint8]:
    """Symbols of a vector with at least one bit set; unset bits after the last are not coded."""
    gaps = np.diff(np.flatnonzero(bits), prepend=-1) - 1
    escapes, remainders = np.divmod(gaps, ESCAPE)
    symbols = np.full(len(gaps) + int(escapes.sum()), ESCAPE, np.uint8)
    symbols[np.cumsum(escapes + 1) - 1] = remainders
    return symbols


def _checked(count: int, size: int, kept: int) -> int:
    """The number of symbols of a sparse vector, if it can be."""
    if not kept <= count <= kept + size // ESCAPE:
        raise ValueError(f"{count} symbols for {kept} of {size} bits")
    return count


def _vector(size: int, kept: int, symbols: Iterator[NDArray[np.uint8]]) -> Bits:
    if kept in (0, size):
        return np.full(size, kept > 0)
    found = next(symbols)
    if not is_sparse(kept, size):
        bits = np.unpackbits(found, bitorder="little")
        if bits[size:].any():
            raise ValueError("padding bits are not zero")
        vector = bits[:size].view(np.bool_)
    else:
        ends = np.cumsum(found + (found != ESCAPE), dtype=np.int64) - 1
        places = ends[found != ESCAPE]
        if len(places) != kept or int(ends[-1]) >= size or found[-1] == ESCAPE:
            raise ValueError(f"its gaps are not of {kept} of {size} bits")
        vector = np.zeros(size, np.bool_)
        vector[places] = True
    if int(np.count_nonzero(vector)) != kept:
        raise ValueError(f"{int(np.count_nonzero(vector))} bits are set, not {kept}")
    return vector
