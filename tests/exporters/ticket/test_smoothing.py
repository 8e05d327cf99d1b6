"""Tallies of planes: those that take least, with what they take themselves."""

import numpy as np
import pytest

from recycle_pipeline.exporters.ticket import layout, planes
from recycle_pipeline.exporters.ticket.smoothing import cheapest
from recycle_pipeline.exporters.ticket.tallied import table_of, tally_of


def taken(symbols, tally):
    """Bits of the symbols, and characters of the tally."""
    table = table_of(tally, len(symbols)) if tally else np.full(256, 256)
    return 16 * len(symbols) - np.log2(table[symbols]).sum(), len(layout.canonical_json(tally))


ROWS = {
    "uniform": lambda rng: rng.integers(0, 256, 4800),
    "zeros among them": lambda rng: rng.integers(0, 256, 4800) * (rng.random(4800) < 0.6),
    "a sign below": lambda rng: 2 * rng.integers(0, 128, 4800) + (rng.random(4800) < 0.2),
    "few symbols": lambda rng: rng.integers(110, 120, 4800),
    "one symbol": lambda rng: np.full(4800, 7),
    "one number": lambda rng: np.full(1, 255),
    "falling": lambda rng: (256 * rng.random(4800) ** 2).astype(int),
}


@pytest.mark.parametrize("row", ROWS)
def test_a_tally_is_of_all_symbols_and_takes_no_more_than_counts_or_none(row):
    symbols = ROWS[row](np.random.default_rng(3)).astype(np.uint8)
    tally = cheapest(tally_of(symbols))
    assert not tally or (sum(tally) == len(symbols) and tally[-1] > 0 and len(tally) <= 256)
    bits, _ = taken(symbols, tally)
    assert bits <= taken(symbols, [])[0]


def test_nearly_uniform_bytes_get_a_level_and_their_zeros_a_count_of_their_own():
    symbols = ROWS["zeros among them"](np.random.default_rng(3)).astype(np.uint8)
    tally = cheapest(tally_of(symbols))
    assert tally[0] == np.count_nonzero(symbols == 0) and len(set(tally)) < 20
    (bits, _), (exact, _) = taken(symbols, tally), taken(symbols, tally_of(symbols))
    assert exact < bits < exact + 8 * 250


def test_random_bytes_get_no_tally():
    assert cheapest(tally_of(ROWS["uniform"](np.random.default_rng(3)).astype(np.uint8))) == []


@pytest.mark.parametrize("count", [0, 1, 255, 4800])
def test_planes_with_such_tallies_are_read_back(count):
    numbers = np.random.default_rng(count).normal(size=count).astype("<f4")
    numbers[::3] = 0
    found = planes.tallied(numbers)
    segments, told = [planes.segment(*each) for each in found], iter([tally for _, tally in found])
    assert [(n, table.tolist()) for n, table in planes.segments_of(count, np.dtype("<f4"), told)] == [
        (len(symbols), table.tolist()) for symbols, table in segments
    ]
    again = planes.decoded(iter([symbols for symbols, _ in segments]), np.dtype("<f4"))
    assert again.tobytes() == numbers.tobytes()
