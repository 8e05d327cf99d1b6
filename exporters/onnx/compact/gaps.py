"""Places of kept weights as gaps of a few bits.

An entry stands for a kept weight and holds how many places lie between it and the entry before, or for the
highest gap: that many places further, and no weight. So a long gap takes several entries, and every entry
has a place of its own in the weight, where the decoder may write a value: of one that is no weight, zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WIDTHS = (1, 2, 3, 4, 5, 6, 7)  # bits of a gap
BYTE_WIDTH = 6  # of a gap where an entry is a byte; the highest two bits are its weight, in steps of 64
PLANE_WIDTHS = (4, 2, 1)  # of the parts that a code is cut into, each of which divides a byte
WHOLE = 8  # as many codes fill whole bytes of every part
# How far the codes of a byte are shifted, by the width of a part.
SHIFTS = {
    4: np.arange(0, 8, 4, dtype=np.uint8).reshape(2, 1, 1),
    2: np.arange(0, 8, 2, dtype=np.uint8).reshape(1, 4, 1),
    1: np.arange(0, 8, 1, dtype=np.uint8).reshape(2, 4, 1),
}


@dataclass(frozen=True)
class Entries:
    """Attributes:
    gaps: (entries,) uint8, up to 2**width - 1, which is no weight.
    kept: (entries,) bool, whether it is a weight.
    """

    gaps: NDArray[np.uint8]
    kept: NDArray[np.bool_]

    def filled(self, width: int) -> "Entries":
        """The same with as many entries behind, of no weight, as make a multiple of `WHOLE`, at least one."""
        missing = -len(self.gaps) % WHOLE or WHOLE * (len(self.gaps) == 0)
        gaps = np.pad(self.gaps, (0, missing), constant_values=(1 << width) - 1)
        return Entries(gaps, np.pad(self.kept, (0, missing)))

    @property
    def ahead(self) -> NDArray[np.uint8]:
        """How many places further the weight lies than the entry before, from 1; 0 for no weight."""
        return np.where(self.kept, self.gaps + np.uint8(1), np.uint8(0))

    def bytes_with(self, values: NDArray[np.int8]) -> NDArray[np.uint8]:
        """How far to go and what lies there, together; of a gap of `BYTE_WIDTH`.

        Args:
            values: (kept,), -1 or 1, or 0 for no weight after all.
        """
        found = self.gaps + self.kept.astype(np.uint8)
        found[self.kept] |= values.view(np.uint8) << np.uint8(BYTE_WIDTH)
        return found

    @property
    def reach(self) -> int:
        """How many places they lead over."""
        return int(self.gaps.sum(dtype=np.int64)) + int(np.count_nonzero(self.kept))


def entries_of(places: NDArray[np.intp], width: int) -> Entries:
    """Of kept weights at these flat indices, rising.

    Args:
        places: (kept,), may be empty.
        width: bits of a gap.
    """
    escape = (1 << width) - 1
    skips, rest = np.divmod(np.diff(places, prepend=-1) - 1, escape)
    gaps = np.full(len(places) + int(skips.sum()), escape, np.uint8)
    gaps[np.cumsum(skips + 1) - 1] = rest
    return Entries(gaps, gaps != escape)


def count_of(places: NDArray[np.intp], width: int) -> int:
    """How many entries `entries_of` gives."""
    return len(places) + int(((np.diff(places, prepend=-1) - 1) // ((1 << width) - 1)).sum())


def bytes_of(count: int, bits: int) -> int:
    """Of so many codes of so many bits."""
    return -(-count * bits // 8)


def narrowest(places: NDArray[np.intp]) -> tuple[int, int]:
    """The width of gaps for the fewest bytes, and those."""
    counts = {width: bytes_of(count_of(places, width), width) for width in WIDTHS}
    best = min(counts, key=lambda width: counts[width])
    return best, counts[best]


def plane_widths(bits: int) -> list[int]:
    """Codes of so many bits are cut into parts of these, the first being the lowest.

    Args:
        bits: 1 to 7.
    """
    return [width for width in PLANE_WIDTHS if bits & width]


def planes_of(codes: NDArray[np.uint8], bits: int) -> Sequence[NDArray[np.uint8]]:
    """Each part of the codes by itself, `SHIFTS` apart in the bits of a byte.

    Codes are laid out as (2, 4, n / 8), and the bytes of each part so that shifting them gives that shape:
    long rows are shifted by one number each, which onnxruntime does 25 times as fast as pairs of numbers, and
    parts fit together as they are.

    Args:
        codes: (n,) of `bits` bits; n a multiple of `WHOLE`.
        bits: 1 to 7.

    Returns:
        For each of `plane_widths` n * width / 8 bytes, of a shape that is broadcast with that of its shifts.
    """
    found, at, laid_out = [], 0, codes.reshape(2, 4, -1)
    for width in plane_widths(bits):
        part, shifts = laid_out >> at & (1 << width) - 1, SHIFTS[width]
        axes = tuple(axis for axis, size in enumerate(shifts.shape) if size > 1)
        found.append((part << shifts).sum(axes, dtype=np.uint8, keepdims=True))
        at += width
    return found
