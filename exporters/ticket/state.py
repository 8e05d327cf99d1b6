"""Batch-norm statistics, biases and whatever else a state has, bit for bit.

Arrays of one type whose names end alike, such as `.running_var`, form a group. Its numbers lie one after the
other, little-endian; of floating-point numbers the sign is moved from the highest bit to the lowest, so that
the highest byte is the exponent's. Byte j of every number forms plane j. A plane is coded with its own counts
where that pays, else as it is: bytes of mantissas are close to random.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket import layout
from recycle_pipeline.exporters.ticket.coding.frames import decode_symbols, encode_symbols
from recycle_pipeline.exporters.ticket.coding.tables import SYMBOLS, Frequencies, uniform
from recycle_pipeline.exporters.ticket.fields import choice, entries, integer, short_text
from recycle_pipeline.exporters.ticket.tallied import Symbols, table_of, tally_of

Arrays = dict[str, NDArray[Any]]
DTYPES = ("bool", "uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
FLOATS = ("float16", "float32", "float64")
MAX_ELEMENTS = 1 << 28  # of a state
Entry = tuple[str, str, tuple[int, ...]]  # name, type, shape


def encoded(state: Mapping[str, NDArray[Any]]) -> tuple[bytes, list[Any], list[list[int]]]:
    """The frame, and for the header [name, type, shape] of each array by name, and tallies of the planes."""
    entries = [(name, state[name].dtype.name, state[name].shape) for name in sorted(state)]
    segments, tallies = [], []
    for group in _groups(entries):
        rows = [np.asarray(state[name]).astype(np.dtype(kind).newbyteorder("<")) for name, kind, _ in group]
        for plane in _planes(np.concatenate([row.reshape(-1) for row in rows])):
            tally = tally_of(plane)
            pays = _bits(tally) + 24 * sum(map(bool, tally)) < 8 * len(plane)
            tallies.append(tally if pays else [])
            segments.append((plane, table_of(tally, len(plane)) if pays else uniform(SYMBOLS)))
    return encode_symbols(segments), [[n, kind, list(shape)] for n, kind, shape in entries], tallies


def decoded(frame: bytes, described: Any, tallies: Any) -> Arrays:
    """The inverse.

    Raises:
        ValueError: the frame is damaged, or the header cannot be.
    """
    known = _entries(described)
    groups = _groups(known)
    sizes = [(sum(math.prod(s) for _, _, s in group), np.dtype(group[0][1])) for group in groups]
    planes = [(total, kind) for total, kind in sizes for _ in range(kind.itemsize)]
    told = entries(tallies, len(planes), len(planes))
    segments: list[tuple[int, Frequencies]] = []
    for (total, _), tally in zip(planes, told, strict=True):
        segments.append((total, table_of(tally, total) if tally else uniform(SYMBOLS)))
    symbols, found = iter(decode_symbols(frame, segments)), {}
    for group, (_, kind) in zip(groups, sizes, strict=True):
        numbers, first = _numbers([next(symbols) for _ in range(kind.itemsize)], kind), 0
        for name, _, shape in group:
            last = first + math.prod(shape)
            found[name] = numbers[first:last].reshape(shape).copy()
            first = last
    return {name: found[name] for name, _, _ in known}


def _entries(described: Any) -> list[Entry]:
    found: list[Entry] = []
    for each in entries(described, 0, layout.MAX_ARRAYS):
        name, kind, shape = entries(each, 3, 3)
        sides = entries(shape, 0, layout.MAX_DIMENSIONS)
        entry = short_text(name), choice(kind, DTYPES + FLOATS), tuple(integer(n, 0, 1 << 40) for n in sides)
        found.append(entry)
    names = [name for name, _, _ in found]
    if names != sorted(set(names)):
        raise ValueError("names of the state are not in order, or come twice")
    if (total := sum(math.prod(shape) for _, _, shape in found)) > MAX_ELEMENTS:
        raise ValueError(f"{total} numbers, at most {MAX_ELEMENTS} are allowed")
    return found


def _groups(entries: Sequence[Entry]) -> list[list[Entry]]:
    found: dict[tuple[str, str], list[Entry]] = {}
    for name, kind, shape in entries:
        found.setdefault((kind, name.rpartition(".")[2]), []).append((name, kind, shape))
    return list(found.values())


def _planes(numbers: NDArray[Any]) -> list[Symbols]:
    size = numbers.dtype.itemsize
    words = numbers.view(f"<u{size}")
    if numbers.dtype.name in FLOATS:
        words = words << words.dtype.type(1) | words >> words.dtype.type(8 * size - 1)
    rows = np.ascontiguousarray(words).view(np.uint8).reshape(-1, size)
    return [np.ascontiguousarray(rows[:, j]) for j in range(size)]


def _numbers(planes: Sequence[Symbols], kind: np.dtype[Any]) -> NDArray[Any]:
    size = kind.itemsize
    words = np.ascontiguousarray(np.stack(planes, 1)).reshape(-1).view(f"<u{size}")
    if kind.name in FLOATS:
        words = words >> words.dtype.type(1) | words << words.dtype.type(8 * size - 1)
    if kind == np.bool_ and words.max(initial=0) > 1:
        raise ValueError("a truth value of more than 1")
    return words.view(kind.newbyteorder("<")).astype(kind, copy=False)


def _bits(tally: Sequence[int]) -> float:
    total = sum(tally)
    return sum(count * math.log2(total / count) for count in tally if count)
