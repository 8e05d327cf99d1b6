"""Batch-norm statistics, biases and whatever else a state has, bit for bit.

Arrays of one type whose names end alike, such as `.running_var`, are a group: its numbers are coded together.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket import layout, planes
from recycle_pipeline.exporters.ticket.coding.frames import WIDE, decode_symbols
from recycle_pipeline.exporters.ticket.coding.tables import UNIFORM, Frequencies
from recycle_pipeline.exporters.ticket.fields import choice, entries, integer, short_text
from recycle_pipeline.exporters.ticket.raw import Raw
from recycle_pipeline.exporters.ticket.tallied import Symbols

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


@dataclass(frozen=True)
class Planned:
    """How a state is stored.

    Attributes:
        described: for the header, [type, [[name, shape], ...]] of each group.
        tallies: for the header, of the planes.
        segments: of the planes that are coded.
        raw: planes that are not coded.
    """

    described: list[Any]
    tallies: list[planes.Tally]
    segments: list[tuple[Symbols, Frequencies]]
    raw: bytes


def planned(state: Mapping[str, NDArray[Any]]) -> Planned:
    """What a writer needs to know."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name in sorted(state):
        groups.setdefault((state[name].dtype.name, name.rpartition(".")[2]), []).append(name)
    found: list[tuple[Symbols, planes.Tally]] = []
    described = []
    for (kind, _), names in groups.items():
        little = np.dtype(kind).newbyteorder("<")
        rows = [np.asarray(state[name], little, order="C").reshape(-1) for name in names]
        found += planes.tallied(np.concatenate(rows))
        described.append([kind, [[name, list(state[name].shape)] for name in names]])
    segments = [planes.segment(plane, tally) for plane, tally in found if tally]
    raw = b"".join(plane.tobytes() for plane, tally in found if not tally)
    return Planned(described, [tally for _, tally in found], segments, raw)


def digest_of(digests: Mapping[str, str]) -> str:
    """One SHA-256 (hex) for those of the state's arrays."""
    return hashlib.sha256(layout.canonical_json(dict(digests)).encode()).hexdigest()


def decoded(frame: bytes, described: Any, tallies: Any) -> Arrays:
    """The arrays of version 3, where every plane is in the frame.

    Raises:
        ValueError: the frame is damaged, or the header cannot be.
    """
    groups = _groups(described)
    segments = _segments(groups, tallies)
    return _arrays(groups, iter(decode_symbols(frame, segments, WIDE)))


class Told:
    """What the header of version 4 says of the state; planes without a tally are raw bytes.

    Args:
        described, tallies: of the header.

    Attributes:
        segments: of the planes that are coded.

    Raises:
        ValueError: the header cannot be.
    """

    def __init__(self, described: Any, tallies: Any) -> None:
        self._groups = _groups(described)
        self._planes = _segments(self._groups, tallies)
        self.segments = [plane for plane in self._planes if plane[1] is not UNIFORM]

    def arrays(self, symbols: Iterator[Symbols], raw: Raw) -> Arrays:
        """All of them. Raises ValueError if there are fewer raw bytes."""
        return _arrays(
            self._groups,
            (
                np.frombuffer(raw.take(count), np.uint8) if table is UNIFORM else next(symbols)
                for count, table in self._planes
            ),
        )


def _segments(groups: list[Group], tallies: Any) -> list[tuple[int, Frequencies]]:
    count = sum(group.kind.itemsize for group in groups)
    told = iter(entries(tallies, count, count))
    return [s for group in groups for s in planes.segments_of(group.count, group.kind, told)]


def _arrays(groups: list[Group], symbols: Iterator[Symbols]) -> Arrays:
    found = {}
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
