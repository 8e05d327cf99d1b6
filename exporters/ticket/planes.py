"""Numbers as planes of bytes: byte j of every number forms plane j, the lowest first.

A plane is coded with a tally where that pays, else as it is. Floating-point numbers have their sign
moved from the highest bit to the lowest, so that the highest byte is the exponent's; bytes of mantissas are
close to random.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket.coding.tables import SYMBOLS, UNIFORM, Frequencies
from recycle_pipeline.exporters.ticket.fields import entries
from recycle_pipeline.exporters.ticket.smoothing import cheapest
from recycle_pipeline.exporters.ticket.tallied import Symbols, table_of, tally_of

Tally = list[int]


def tallied(numbers: NDArray[Any]) -> list[tuple[Symbols, Tally]]:
    """The planes, each with its tally, which is empty where the plane is left as it is.

    Args:
        numbers: (n,), little-endian.
    """
    return [(plane, cheapest(tally_of(plane))) for plane in planes_of(numbers)]


def segment(plane: Symbols, tally: Tally) -> tuple[Symbols, Frequencies]:
    """Of a frame."""
    return plane, table_of(tally, len(plane)) if tally else UNIFORM


def segments_of(count: int, kind: np.dtype[Any], tallies: Iterator[Any]) -> list[tuple[int, Frequencies]]:
    """How `count` numbers of this type are coded. Raises ValueError if they cannot be coded so."""
    told = [entries(next(tallies), 0, SYMBOLS) for _ in range(kind.itemsize)]
    return [(count, table_of(tally, count) if tally else UNIFORM) for tally in told]


def decoded(symbols: Iterator[Symbols], kind: np.dtype[Any]) -> NDArray[Any]:
    """The numbers; (n,).

    Raises:
        ValueError: a truth value is more than 1.
    """
    size = kind.itemsize
    planes = [next(symbols) for _ in range(size)]
    words = np.ascontiguousarray(np.stack(planes, 1)).reshape(-1).view(f"<u{size}")
    if kind.kind == "f":
        words = words >> words.dtype.type(1) | words << words.dtype.type(8 * size - 1)
    if kind.kind == "b" and words.max(initial=0) > 1:
        raise ValueError("a truth value of more than 1")
    return words.view(kind.newbyteorder("<")).astype(kind, copy=False)


def planes_of(numbers: NDArray[Any]) -> Sequence[Symbols]:
    """Byte 0 of each number, byte 1, and so on; (n,) each."""
    size = numbers.dtype.itemsize
    words = numbers.view(f"<u{size}")
    if numbers.dtype.kind == "f":
        words = words << words.dtype.type(1) | words >> words.dtype.type(8 * size - 1)
    rows = np.ascontiguousarray(words).view(np.uint8).reshape(-1, size)
    return [np.ascontiguousarray(rows[:, j]) for j in range(size)]
