"""Symbols with their own counts: a row of bytes is coded by how often each came up in it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket.coding.tables import SYMBOLS, Frequencies, of_counts
from recycle_pipeline.exporters.ticket.fields import entries, integer

Symbols = NDArray[np.uint8]


def tally_of(symbols: Symbols) -> list[int]:
    """How often each symbol came up, up to the last that did: for the header."""
    counts = np.bincount(symbols, minlength=1).tolist()
    return counts if len(symbols) else []


def table_of(tally: Any, total: int) -> Frequencies:
    """The frequencies that a tally gives.

    Raises:
        ValueError: it is not of `total` symbols.
    """
    counts = [integer(count, 0, total) for count in entries(tally, 0, SYMBOLS)]
    if counts and not counts[-1]:
        raise ValueError("a tally that ends with 0")
    if sum(counts) != total:
        raise ValueError(f"counts of {sum(counts)} symbols where there are {total}")
    return of_counts(counts or [1])
