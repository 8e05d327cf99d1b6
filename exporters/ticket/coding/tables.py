"""How likely each symbol is, in 65,536ths, from counts alone: integers, so that all machines agree.

Of `size` independent bits `kept` are set. Two ways to make symbols of them, each of 0 to 255:

    bytes  eight bits each; best where bits are dense
    gaps   the number of unset bits before the next set one, or 255: that many and none; best where sparse

Every symbol has a frequency of at least 1, so that whatever the bits are, they can be coded.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOTAL_BITS = 16
TOTAL = 1 << TOTAL_BITS
SYMBOLS = 256
ESCAPE = SYMBOLS - 1  # a gap of at least as many
KEPT_TABLES = 512  # of a kind, a kilobyte each: a file that lies may ask for any number of others
SMALL = 1 << 46  # a sum of counts that times 65,280 fits 63 bits
Frequencies = NDArray[np.uint32]


def is_sparse(kept: int, size: int) -> bool:
    """Whether gaps are coded rather than bytes."""
    return 16 * kept < size


def frequencies(kept: int, size: int) -> Frequencies:
    """Of the symbols that code `size` bits of which `kept` are set; (256,), their sum is 65,536.

    Args:
        kept, size: 0 < kept < size.
    """
    table: Callable[[int], Frequencies] = _gaps if is_sparse(kept, size) else _bytes
    return table(probability(kept, size))


def of_counts(counts: Sequence[int]) -> Frequencies:
    """Of symbols of which symbol i came up `counts[i]` times.

    Args:
        counts: up to 256, not all 0; of symbols beyond them none came up.
    """
    if sum(counts) >= SMALL:
        return _shared([*counts, *[0] * (SYMBOLS - len(counts))])
    weights = np.zeros(SYMBOLS, np.int64)
    weights[: len(counts)] = counts
    found = 1 + weights * (TOTAL - SYMBOLS) // weights.sum()
    found[weights.argmax()] += TOTAL - found.sum()
    return _kept(found)


def probability(kept: int, size: int) -> int:
    """Of a set bit, in 2**-32ths: rounded to nearest, neither 0 nor 1."""
    one = 1 << 32
    return max(1, min(one - 1, (2 * kept * one + size) // (2 * size)))


@functools.lru_cache(KEPT_TABLES)
def _bytes(p: int) -> Frequencies:
    q = (1 << 32) - p
    by_ones = [p**ones * q ** (8 - ones) for ones in range(9)]
    return _shared([by_ones[byte.bit_count()] for byte in range(SYMBOLS)])


@functools.lru_cache(KEPT_TABLES)
def _gaps(p: int) -> Frequencies:
    q, here, weights = (1 << 32) - p, 1 << 64, []
    for _ in range(ESCAPE):
        weights.append((here * p) >> 32)
        here = (here * q) >> 32
    return _shared([*weights, here])


def _shared(weights: Sequence[int]) -> Frequencies:
    """65,536 in proportion: 1 each, shares of the rest rounded down, what is left to the likeliest."""
    whole = sum(weights)
    found = [1 + weight * (TOTAL - SYMBOLS) // whole for weight in weights]
    found[weights.index(max(weights))] += TOTAL - sum(found)
    return _kept(found)


def _kept(found: Any) -> Frequencies:
    table = np.array(found, np.uint32)
    table.flags.writeable = False  # it is cached
    return table


UNIFORM = of_counts([1] * SYMBOLS)  # of symbols that are equally likely: 256 each
