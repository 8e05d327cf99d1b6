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
PLANE_WIDTHS = (4, 2, 1)  # of the parts that a code is cut into, each of which divides a byte


@dataclass(frozen=True)
class Entries:
    """Attributes:
    gaps: (entries,) uint8, up to 2**width - 1, which is no weight.
    kept: (entries,) bool, whether it is a weight.
    """

    gaps: NDArray[np.uint8]
    kept: NDArray[np.bool_]


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


def plane_widths(bits: int) -> list[int]:
    """Codes of so many bits are cut into parts of these, the first being the lowest.

    Args:
        bits: 1 to 8.
    """
    if bits == 8:
        return [8]
    return [width for width in PLANE_WIDTHS if bits & width]


def planes_of(codes: NDArray[np.uint8], bits: int) -> Sequence[NDArray[np.uint8]]:
    """Each part of the codes by itself, as many to a byte as fit, the first in the lowest bits.

    Args:
        codes: (n,) of `bits` bits.
        bits: 1 to 8.

    Returns:
        For each of `plane_widths` (bytes,).
    """
    found, at = [], 0
    for width in plane_widths(bits):
        part = codes >> at & (1 << width) - 1
        each = 8 // width
        rows = np.pad(part, (0, -len(part) % each)).reshape(-1, each)
        found.append((rows << np.arange(each, dtype=np.uint8) * width).sum(1, dtype=np.uint8))
        at += width
    return found
