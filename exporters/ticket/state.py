"""Batch-norm statistics, biases and whatever else a state has, bit for bit.

Arrays of one type whose names end alike, such as `.running_var`, are a group: its numbers are coded together.
An array may repeat another one of its group, as biases do that get the same gradients.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
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
WORTH = 32  # bytes, of an array that repeats another one


@dataclass(frozen=True)
class Array:
    """An array, or where in its group that one is that it repeats."""

    name: str
    shape: tuple[int, ...]
    repeats: int | None = None

    @property
    def count(self) -> int:
        """Of its numbers."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Group:
    """Arrays that are coded together."""

    kind: np.dtype[Any]
    arrays: tuple[Array, ...]

    @property
    def count(self) -> int:
        """Of the numbers that are coded."""
        return sum(array.count for array in self.arrays if array.repeats is None)


@dataclass(frozen=True)
class Planned:
    """How a state is stored.

    Attributes:
        described: for the header, [type, [[name, shape], ...]] of each group; or [name, shape, repeats].
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
        repeats = _repeats(rows)
        own = [row for row, repeated in zip(rows, repeats, strict=True) if not repeated]
        found += planes.tallied(np.concatenate(own))
        arrays = [[name, list(state[name].shape), *more] for name, more in zip(names, repeats, strict=True)]
        described.append([kind, arrays])
    segments = [planes.segment(plane, tally) for plane, tally in found if tally]
    raw = b"".join(plane.tobytes() for plane, tally in found if not tally)
    return Planned(described, [tally for _, tally in found], segments, raw)


def _repeats(rows: list[NDArray[Any]]) -> list[list[int]]:
    """Of each row, the number of the one before that it repeats, if that takes less room than it does itself.

    None is repeated twice, so that what a reader takes stays within twice of what is coded.
    """
    found, first = list[list[int]](), dict[bytes, int]()
    for number, row in enumerate(rows):
        content = row.tobytes()
        worth = len(content) > WORTH and content != content[: row.itemsize] * len(row)
        found.append([first.pop(content)] if worth and content in first else [])
        if worth and not found[-1]:
            first[content] = number
    return found


def digest_of(digests: Mapping[str, str]) -> str:
    """One SHA-256 (hex) for those of the state's arrays."""
    return hashlib.sha256(layout.canonical_json(dict(digests)).encode()).hexdigest()


def decoded(frame: bytes, described: Any, tallies: Any) -> Arrays:
    """The arrays of version 3, where every plane is in the frame.

    Raises:
        ValueError: the frame is damaged, or the header cannot be.
    """
    groups = _groups(described, repeating=False)
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
        self._groups = _groups(described, repeating=True)
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
    found = Arrays()
    for group in groups:
        numbers, first = planes.decoded(symbols, group.kind), 0
        for array in group.arrays:
            if array.repeats is None:
                own, first = numbers[first : first + array.count], first + array.count
            else:
                own = found[group.arrays[array.repeats].name]
            found[array.name] = own.reshape(array.shape).copy()
    return found


def _groups(described: Any, repeating: bool) -> list[Group]:
    found, names = list[Group](), set[str]()
    for each in entries(described, 0, layout.MAX_ARRAYS):
        kind, told = entries(each, 2, 2)
        arrays = list[Array]()
        for array in entries(told, 1, layout.MAX_ARRAYS):
            arrays.append(_array(arrays, *entries(array, 2, 2 + repeating)))
            if arrays[-1].name in names:
                raise ValueError(f"two arrays are called {arrays[-1].name!r}")
            names.add(arrays[-1].name)
        _check_repeats(arrays)
        found.append(Group(np.dtype(choice(kind, KINDS)), tuple(arrays)))
    if (total := sum(array.count for group in found for array in group.arrays)) > layout.MAX_STATE or len(
        names
    ) > layout.MAX_ARRAYS:
        raise ValueError(f"{total} numbers in {len(names)} arrays are more than a ticket may hold")
    return found


def _array(before: list[Array], name: Any, shape: Any, *repeats: Any) -> Array:
    sides = entries(shape, 0, layout.MAX_DIMENSIONS)
    found = Array(short_text(name), tuple(integer(side, 0, MAX_SIDE) for side in sides))
    if not repeats:
        return found
    other = before[integer(repeats[0], 0, len(before) - 1)]
    if other.repeats is not None or other.count != found.count:
        raise ValueError(f"{name!r} of {found.count} numbers cannot repeat {other.name!r} of {other.count}")
    return replace(found, repeats=repeats[0])


def _check_repeats(arrays: list[Array]) -> None:
    for number, times in Counter(array.repeats for array in arrays).items():
        if number is not None and times > 1:
            raise ValueError(f"{arrays[number].name!r} is repeated {times} times, once is allowed")
