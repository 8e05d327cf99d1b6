"""Batch-norm statistics, biases and whatever else a state has, bit for bit.

Arrays of one type whose names end alike, such as `.running_var`, are a group: its numbers are coded together.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket import layout, planes
from recycle_pipeline.exporters.ticket.coding.frames import decode_symbols, encode_symbols
from recycle_pipeline.exporters.ticket.fields import choice, entries, integer, short_text

Arrays = dict[str, NDArray[Any]]
KINDS = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
)
MAX_SIDE = 1 << 40


@dataclass(frozen=True)
class Group:
    """Arrays that are coded together, by name, with their shapes."""

    kind: np.dtype[Any]
    arrays: tuple[tuple[str, tuple[int, ...]], ...]

    @property
    def count(self) -> int:
        """Of its numbers."""
        return sum(math.prod(shape) for _, shape in self.arrays)


def encoded(state: Mapping[str, NDArray[Any]]) -> tuple[bytes, list[Any], list[planes.Tally]]:
    """The frame, and for the header [type, [[name, shape], ...]] of each group, and tallies of the planes."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name in sorted(state):
        groups.setdefault((state[name].dtype.name, name.rpartition(".")[2]), []).append(name)
    segments, tallies, described = [], [], []
    for (kind, _), names in groups.items():
        little = np.dtype(kind).newbyteorder("<")
        rows = [np.asarray(state[name], little, order="C").reshape(-1) for name in names]
        found, told = planes.encoded(np.concatenate(rows))
        segments += found
        tallies += told
        described.append([kind, [[name, list(state[name].shape)] for name in names]])
    return encode_symbols(segments), described, tallies


def decoded(frame: bytes, described: Any, tallies: Any) -> Arrays:
    """The inverse.

    Raises:
        ValueError: the frame is damaged, or the header cannot be.
    """
    groups = _groups(described)
    count = sum(group.kind.itemsize for group in groups)
    told = iter(entries(tallies, count, count))
    segments = [s for group in groups for s in planes.segments_of(group.count, group.kind, told)]
    symbols, found = iter(decode_symbols(frame, segments)), {}
    for group in groups:
        numbers, first = planes.decoded(symbols, group.kind), 0
        for name, shape in group.arrays:
            last = first + math.prod(shape)
            found[name] = numbers[first:last].reshape(shape).copy()
            first = last
    return found


def _groups(described: Any) -> list[Group]:
    found, names = [], set()
    for each in entries(described, 0, layout.MAX_ARRAYS):
        kind, told = entries(each, 2, 2)
        arrays = tuple(_array(*entries(array, 2, 2)) for array in entries(told, 1, layout.MAX_ARRAYS))
        for name, _ in arrays:
            if name in names:
                raise ValueError(f"two arrays are called {name!r}")
            names.add(name)
        found.append(Group(np.dtype(choice(kind, KINDS)), arrays))
    if (total := sum(group.count for group in found)) > layout.MAX_STATE or len(names) > layout.MAX_ARRAYS:
        raise ValueError(f"{total} numbers in {len(names)} arrays are more than a ticket may hold")
    return found


def _array(name: Any, shape: Any) -> tuple[str, tuple[int, ...]]:
    sides = entries(shape, 0, layout.MAX_DIMENSIONS)
    return short_text(name), tuple(integer(side, 0, MAX_SIDE) for side in sides)
