"""Vectors of bits as one frame of symbols, close to the entropy of independent bits.

How many bits each vector has, how many are set, and of sparse vectors how many symbols there are, the reader
must know. A vector with none or all set takes nothing. See `tables` for symbols and frequencies.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket.coding.frames import decode_carrying, encode_symbols
from recycle_pipeline.exporters.ticket.coding.tables import ESCAPE, frequencies, is_sparse

Bits = NDArray[np.bool_]


@dataclass(frozen=True)
class Counts:
    """Of a vector: its bits, those that are set, and if it is sparse, the symbols of its gaps (else 0)."""

    size: int
    kept: int
    gaps: int = 0

    @property
    def coded(self) -> bool:
        return 0 < self.kept < self.size

    @property
    def symbols(self) -> int:
        """How many, if they can be so many. Raises ValueError if not."""
        sparse = self.coded and is_sparse(self.kept, self.size)
        if not (self.kept <= self.gaps <= self.kept + self.size // ESCAPE if sparse else self.gaps == 0):
            raise ValueError(f"{self.gaps} gaps for {self.kept} of {self.size} bits")
        return self.gaps if sparse else -(-self.size // 8) if self.coded else 0


def counts_of(vectors: Sequence[Bits]) -> list[Counts]:
    """What a reader must know of vectors of any shape."""
    found = []
    for vector in vectors:
        plain = Counts(vector.size, int(np.count_nonzero(vector)))
        sparse = plain.coded and is_sparse(plain.kept, plain.size)
        found.append(Counts(plain.size, plain.kept, len(_gaps_of(vector.reshape(-1)))) if sparse else plain)
    return found


def encode_bits(vectors: Sequence[Bits], reserve: bytearray | None = None) -> bytes:
    """Any number of bool arrays as one frame. Their shapes and `counts_of` are not in it.

    Args:
        vectors: the arrays.
        reserve: see `frames.encode_symbols`.
    """
    segments = []
    for vector in vectors:
        bits, kept = vector.reshape(-1), int(np.count_nonzero(vector))
        if 0 < kept < bits.size:
            sparse = is_sparse(kept, bits.size)
            symbols = _gaps_of(bits) if sparse else np.packbits(bits, bitorder="little")
            segments.append((symbols, frequencies(kept, bits.size)))
    return encode_symbols(segments, reserve)


def decode_bits(frame: bytes, counts: Sequence[Counts]) -> list[Bits]:
    """The inverse, of lanes that carry nothing. See `decode_bits_carrying`. Raises ValueError if they do."""
    vectors, carried = decode_bits_carrying(frame, counts)
    if any(carried):
        raise ValueError("a lane does not end where encoding begins")
    return vectors


def decode_bits_carrying(frame: bytes, counts: Sequence[Counts]) -> tuple[list[Bits], bytes]:
    """The inverse: flat vectors, parts of one array, and the bytes that the lanes carry.

    Memory is bounded by `counts`, whatever the frame holds.

    Raises:
        ValueError: the frame is damaged, or not of these vectors, or counts cannot be.
    """
    numbers = [each.symbols for each in counts]
    segments = [
        (number, frequencies(each.kept, each.size))
        for number, each in zip(numbers, counts, strict=True)
        if each.coded
    ]
    found, carried = decode_carrying(frame, segments)
    symbols = iter(found)
    whole, first, vectors = np.zeros(sum(each.size for each in counts), np.bool_), 0, []
    for each in counts:
        vectors.append(whole[first : first + each.size])
        _fill(vectors[-1], each, symbols)
        first += each.size
    return vectors, carried


def _gaps_of(bits: Bits) -> NDArray[np.uint8]:
    """Symbols of a vector with at least one bit set; unset bits after the last are not coded."""
    gaps = np.diff(np.flatnonzero(bits), prepend=-1) - 1
    escapes, remainders = np.divmod(gaps, ESCAPE)
    symbols = np.full(len(gaps) + int(escapes.sum()), ESCAPE, np.uint8)
    symbols[np.cumsum(escapes + 1) - 1] = remainders
    return symbols


def _fill(vector: Bits, counts: Counts, symbols: Iterator[NDArray[np.uint8]]) -> None:
    """Sets the bits of a vector of which none is set."""
    size, kept = counts.size, counts.kept
    if not counts.coded:
        vector[:] = kept > 0
        return
    found = next(symbols)
    if is_sparse(kept, size):
        ends = np.cumsum(found, dtype=np.int64)
        sets = found != ESCAPE
        ends += np.cumsum(sets, dtype=np.int64)
        places = ends if sets.all() else ends[sets]
        if len(places) != kept or int(ends[-1]) > size or not sets[-1]:
            raise ValueError(f"its gaps are not of {kept} of {size} bits")
        vector[places - 1] = True
        return
    bits = np.unpackbits(found, bitorder="little")
    if bits[size:].any():
        raise ValueError("padding bits are not zero")
    vector[:] = bits[:size].view(np.bool_)
    if (there := int(np.count_nonzero(vector))) != kept:
        raise ValueError(f"{there} bits are set, not {kept}")
