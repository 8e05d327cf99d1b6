"""Frequencies of symbols: against exact fractions, and the same for ever."""

import hashlib
import math
from fractions import Fraction

import pytest

from recycle_pipeline.exporters.ticket.coding.tables import (
    ESCAPE,
    TOTAL,
    UNIFORM,
    frequencies,
    is_sparse,
    of_counts,
    probability,
)

COUNTS = [(1, 2), (1, 10), (1, 16), (1, 17), (3, 100), (999, 1000), (1, 10**9), (10**9 - 1, 10**9), (5, 77)]


def likelihood(symbol, p, sparse):
    if sparse:
        return (1 - p) ** symbol * (1 if symbol == ESCAPE else p)
    return p ** symbol.bit_count() * (1 - p) ** (8 - symbol.bit_count())


@pytest.mark.parametrize(("kept", "size"), COUNTS)
def test_each_symbol_has_its_share(kept, size):
    table, sparse = frequencies(kept, size).tolist(), is_sparse(kept, size)
    p = Fraction(probability(kept, size), 1 << 32)
    exact = [likelihood(symbol, p, sparse) for symbol in range(256)]
    assert sum(exact) == 1 and sum(table) == TOTAL and min(table) >= 1
    largest = exact.index(max(exact))
    for symbol, (found, share) in enumerate(zip(table, exact, strict=True)):
        if symbol != largest:
            assert abs(found - 1 - share * (TOTAL - 256)) <= 1.001


@pytest.mark.parametrize(("kept", "size"), [(1, 16), (1, 3), (2, 3), (1, 17), (1, 1000), (3, 10**6)])
def test_little_is_lost_by_rounding(kept, size):
    """Bits per symbol beyond the entropy: under a thousandth, or under a hundredth where most are escapes."""
    table, sparse = frequencies(kept, size).tolist(), is_sparse(kept, size)
    shares = [likelihood(symbol, kept / size, sparse) for symbol in range(256)]
    entropy = -sum(share * math.log2(share) for share in shares if share)
    cost = -sum(share * math.log2(found / TOTAL) for share, found in zip(shares, table, strict=True))
    assert entropy <= cost * (1 + 1e-9) and cost - entropy < (0.005 if kept * 1000 > size else 0.01)


@pytest.mark.parametrize(
    ("kept", "size", "asked"), [(1, 16, False), (99, 1600, True), (100, 1600, False), (1, 2, False)]
)
def test_sparse_is_below_a_sixteenth(kept, size, asked):
    assert is_sparse(kept, size) is asked


def test_a_probability_is_never_0_or_1():
    assert probability(1, 1 << 40) == 1 and probability((1 << 40) - 1, 1 << 40) == (1 << 32) - 1
    assert probability(1, 2) == 1 << 31 and probability(1, 3) == 1431655765


def test_tables_never_change():
    """A ticket's streams are read with them: a golden digest over all counts above."""
    digest = hashlib.sha256()
    for kept, size in COUNTS:
        digest.update(frequencies(kept, size).astype("<u4").tobytes())
    assert digest.hexdigest() == GOLDEN


GOLDEN = "76d4395af14847c5f6c58049cee495ba34a0b98af0cbe2fbc544a384ce2147a4"


def test_tallies_become_frequencies_in_proportion():
    table = of_counts([3, 0, 1])
    assert (table[0], table[1], table[2], table[255]) == (1 + 48960 + 0, 1, 1 + 16320, 1)
    assert table.sum() == TOTAL and (UNIFORM == 256).all()
