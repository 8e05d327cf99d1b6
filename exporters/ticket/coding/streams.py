"""Vectors of bits as one frame of symbols, close to the entropy of independent bits.

How many bits each vector has, how many are set, and of sparse vectors how many symbols there are, the reader
must know. A vector with none or all set takes nothing. See `tables` for symbols and frequencies.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket.coding.frames import NARROW, decode_carrying, encode_symbols
from recycle_pipeline.exporters.ticket.coding.tables import ESCAPE, Frequencies, frequencies, is_sparse
from recycle_pipeline.models.subnetwork import places_of

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


@dataclass(frozen=True)
class Vector:
    """Of `size` bits, at most 2**31, the places of those that are set, ascending; None if all are."""

    size: int
    places: NDArray[np.uint32] | None

    def bits(self) -> Bits:
        """All of them."""
        found = np.full(self.size, self.places is None)
        if self.places is not None:
            found[self.places] = True
        return found


def counts_of(vectors: Sequence[Bits]) -> list[Counts]:
    """What a reader must know of vectors of any shape."""
    found = []
    for vector in vectors:
        plain = Counts(vector.size, int(np.count_nonzero(vector)))
        sparse = plain.coded and is_sparse(plain.kept, plain.size)
        found.append(Counts(plain.size, plain.kept, len(_gaps_of(vector.reshape(-1)))) if sparse else plain)
    return found


def encode_bits(vectors: Sequence[Bits], reserve: bytearray | None = None, bits: int = NARROW) -> bytes:
    """Any number of bool arrays as one frame. Their shapes and `counts_of` are not in it.

    Args:
        vectors: the arrays.
        reserve, bits: see `frames.encode_symbols`.
    """
    return encode_symbols(segments_of(vectors), reserve, bits)


def segments_of(vectors: Sequence[Bits]) -> list[tuple[NDArray[np.uint8], Frequencies]]:
    """Bool arrays of any shape as symbols and their frequencies, of those that have any."""
    segments = []
    for vector in vectors:
        flat, kept = vector.reshape(-1), int(np.count_nonzero(vector))
        if 0 < kept < flat.size:
            sparse = is_sparse(kept, flat.size)
            symbols = _gaps_of(flat) if sparse else np.packbits(flat, bitorder="little")
            segments.append((symbols, frequencies(kept, flat.size)))
    return segments


def decode_bits(frame: bytes, counts: Sequence[Counts], bits: int = NARROW) -> list[Bits]:
    """The inverse, of lanes that carry nothing. See `decode_places`. Raises ValueError if they do."""
    vectors, carried = decode_places(frame, counts, bits)
    if any(carried):
        raise ValueError("a lane does not end where encoding begins")
    return [each.bits() for each in vectors]


def decode_places(frame: bytes, counts: Sequence[Counts], bits: int = NARROW) -> tuple[list[Vector], bytes]:
    """The inverse, and the bytes that the lanes carry.

    Memory is bounded by `counts`, whatever the frame holds.

    Args:
        frame: the whole of it.
        counts: of vectors of at most 2**31 bits together.
        bits: of a word.

    Raises:
        ValueError: the frame is damaged, or not of these vectors, or counts cannot be.
    """
    found, carried = decode_carrying(frame, told(counts), bits)
    return list(vectors_of(counts, iter(found))), carried


def told(counts: Sequence[Counts]) -> list[tuple[int, Frequencies]]:
    """The segments of these vectors. Raises ValueError if counts cannot be."""
    numbers = [each.symbols for each in counts]
    return [
        (number, frequencies(each.kept, each.size))
        for number, each in zip(numbers, counts, strict=True)
        if each.coded
    ]


def vectors_of(counts: Iterable[Counts], symbols: Iterator[NDArray[np.uint8]]) -> Iterator[Vector]:
    """The vectors, of their segments' symbols, one after the other. Raises ValueError if they are others."""
    return (Vector(each.size, _places(each, symbols)) for each in counts)


def _gaps_of(bits: Bits) -> NDArray[np.uint8]:
    """Symbols of a vector with at least one bit set; unset bits after the last are not coded."""
    gaps = np.diff(np.flatnonzero(bits), prepend=-1) - 1
    escapes, remainders = np.divmod(gaps, ESCAPE)
    symbols = np.full(len(gaps) + int(escapes.sum()), ESCAPE, np.uint8)
    symbols[np.cumsum(escapes + 1) - 1] = remainders
    return symbols


def _places(counts: Counts, symbols: Iterator[NDArray[np.uint8]]) -> NDArray[np.uint32] | None:
    size, kept = counts.size, counts.kept
    if not counts.coded:
        return None if kept else np.zeros(0, np.uint32)
    found = next(symbols)
    if not is_sparse(kept, size):
        places = places_of(np.unpackbits(found, bitorder="little").view(np.bool_)).astype(np.uint32)
        if len(places) and places[-1] >= size:
            raise ValueError("padding bits are not zero")
        if len(places) != kept:
            raise ValueError(f"{len(places)} bits are set, not {kept}")
        return places
    sets = found != ESCAPE
    ends = np.cumsum(found + sets.view(np.uint8), dtype=np.int64)
    whole = int(ends[-1])
    if not sets.all():
        ends = ends[sets]
    if len(ends) != kept or whole > size or not sets[-1]:
        raise ValueError(f"its gaps are not of {kept} of {size} bits")
    ends -= 1
    return ends.astype(np.uint32)
