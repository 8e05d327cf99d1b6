"""Inner loops of tickets that are compiled, where a C compiler was at hand when the package was installed.

numpy has them all: without the library tickets are read to the same bits and written as well, in more time.
What is written may differ in a few bytes, for sums by which a writer chooses are rounded otherwise. The
environment's RECYCLE_PIPELINE_LOOPS names another build of the library, or is `numpy` to leave it alone.
"""

import ctypes
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.models.errors import UsageFault

Symbols = NDArray[np.uint8]
Bits = NDArray[np.bool_]
Floats = NDArray[np.float32]
Signs = NDArray[np.int8]
Places = NDArray[np.intp]
VARIABLE, NUMPY = "RECYCLE_PIPELINE_LOOPS", "numpy"
PATTERN = "_loops*.so"
VERSION = 1  # of what the functions take, to be raised with it: a library of another one is left alone
CLASSES, CODES = 256, 255
BYTE, PADDING = 8, 1 << 16  # bits; of a byte, and that a run may reach beyond the last
_ADDRESS, _SIZE, _LONG = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64
ARGUMENTS = {
    "cells": (_ADDRESS, _SIZE, *[_ADDRESS] * 4),
    "classes": (*[_ADDRESS] * 4, ctypes.c_int32, _ADDRESS, _ADDRESS, _SIZE, _SIZE, _ADDRESS),
    "codes": (*[_ADDRESS] * 6, _SIZE, _ADDRESS),
    "spread": (_ADDRESS, _SIZE, *[_ADDRESS] * 4),
    "mark": (_ADDRESS, _SIZE, _SIZE, _SIZE, ctypes.c_uint8, _ADDRESS),
    "settle": (_ADDRESS, _SIZE, _ADDRESS, _ADDRESS, ctypes.c_uint32, _ADDRESS, _ADDRESS),
    "set": (_ADDRESS, _SIZE, _LONG, _ADDRESS),
    "count": (_ADDRESS, _SIZE, _ADDRESS),
    "gather": (_ADDRESS, _ADDRESS, _SIZE, _ADDRESS, _ADDRESS),
    "foretold": (_ADDRESS, _ADDRESS, _SIZE, _SIZE, *[_ADDRESS] * 4),
    "by_cell": (*[_ADDRESS] * 3, _SIZE, _SIZE, _SIZE, _ADDRESS, _ADDRESS),
    "counted": (_ADDRESS, _ADDRESS, ctypes.c_uint32, _ADDRESS, _SIZE, _ADDRESS, _ADDRESS),
}


class _Where(ctypes.Structure):
    _fields_ = (("first", ctypes.c_uint64), ("step", ctypes.c_uint64), ("places", _ADDRESS))


class _Axis(ctypes.Structure):
    _fields_ = (("key", ctypes.c_uint64), ("first", ctypes.c_uint32), ("count", ctypes.c_uint32))


class Loops:
    """The library's functions. Arrays are contiguous, as their callers have them."""

    def __init__(self, path: Path) -> None:
        library = ctypes.CDLL(str(path))
        if (found := ctypes.c_uint32.in_dll(library, "recycle_ticket_version").value) != VERSION:
            raise ValueError(f"{path} has loops of version {found}, not {VERSION}")
        self._functions: dict[str, Any] = {}
        for name, arguments in ARGUMENTS.items():
            function = getattr(library, f"recycle_ticket_{name}")
            function.argtypes, function.restype = arguments, _SIZE if name == "spread" else None
            self._functions[name] = function

    def cells(
        self,
        weight: tuple[int, int, int],
        score: tuple[int, int, int],
        where: tuple[int, int, Places | None],
        count: int,
        negative: Bits | None,
    ) -> NDArray[np.uint16]:
        """Where in a context's table weights are.

        Args:
            weight, score: of both streams the key, and which bits of the highest byte count: first, how many.
            where: first index, step, and places in steps, or None for 0, 1, 2, ...
            count: of weights.
            negative: takes whether the seed gives them that sign; (count,), None if nobody asks.
        """
        first, step, places = where
        found = np.empty(count, np.uint16)
        at = _Where(first, step, _address(places))
        axes = _Axis(*weight), _Axis(*score)
        self._functions["cells"](
            ctypes.byref(at), count, *map(ctypes.byref, axes), _address(found), _address(negative)
        )
        return found

    def codes(
        self,
        beside: tuple[Signs | None, Signs | None, Signs | None, Signs | None],
        sums: Signs,
        negative: Bits,
        out: Symbols,
    ) -> None:
        """The codes of weights, see `neighbours`.

        Args:
            beside: signs to the left and above, and above to the left and to the right; (n,), None for none.
            sums: of all that came before; (n,).
            negative: whether the seed gives them that sign.
            out: where to.
        """
        others = [None if each is None else _address(each) for each in beside]
        self._functions["codes"](*others, _address(sums), _address(negative), len(out), _address(out))

    def classes(
        self,
        cells: NDArray[np.uint16] | None,
        table: NDArray[np.int16],
        codes: tuple[Symbols, NDArray[np.int16]] | None,
        common: int,
        filters: NDArray[np.int16] | None,
        channels: NDArray[np.int16] | None,
        shape: tuple[int, int],
    ) -> Symbols:
        """The classes of rows of kernels; (rows * columns,).

        Args:
            cells: None if all weights have the table's first entry.
            table: entries.
            codes: of neighbours, and what each stands for.
            common: to all.
            filters, channels: levels; (rows,), (columns,).
            shape: rows and columns.
        """
        found = np.empty(shape[0] * shape[1], np.uint8)
        both = (None, None) if codes is None else codes
        entries = _address(cells), _address(table), _address(both[0]), _address(both[1])
        levels = common, _address(filters), _address(channels)
        self._functions["classes"](*entries, *levels, *shape, _address(found))
        return found

    def spread(
        self, bits: Symbols, next_: NDArray[np.int64], steps: NDArray[np.int64]
    ) -> Callable[[Symbols], NDArray[np.uint16]]:
        """What says which of a run of at most 2**16 weights have a set bit, by their classes.

        Args:
            bits: of all classes.
            next_: by class, the number of the bit that is next; it moves on.
            steps: by class, how far.
        """
        function, arrays = self._functions["spread"], (bits, next_, steps)  # held for as long as it is called
        where = tuple(_address(array) for array in arrays)

        def spread(classes: Symbols) -> NDArray[np.uint16]:
            if len(classes) > PADDING or len(arrays[1]) < CLASSES:
                raise ValueError(f"a run of {len(classes)} weights is too long for 16 bits")
            found = np.empty(len(classes) + 1, np.uint16)
            count: int = function(_address(classes), len(classes), *where, _address(found))
            return found[:count]

        return spread

    def mark(self, kernels: Places, positions: int, position: int, mark: int, marks: Symbols) -> None:
        """Marks the weights at a position of these kernels, of so many positions each."""
        run = _address(kernels), len(kernels), positions, position
        self._functions["mark"](*run, mark, _address(marks))

    def settle(
        self, kernels: Places, negative: Bits, moved: tuple[Bits | None, bool], signs: Signs, sums: Signs
    ) -> None:
        """Writes the signs of kept weights of a position, and adds them to their kernels' sums.

        Args:
            kernels: whose weight is kept.
            negative: whether the seed gives a kernel's weight that sign.
            moved: which of the kept ones did, None if none; and whether that tells their sign.
            signs, sums: of all kernels.
        """
        run = _address(kernels), len(kernels), _address(negative), _address(moved[0])
        self._functions["settle"](*run, moved[1], _address(signs), _address(sums))

    def set_bits(self, places: NDArray[np.uint32] | None, count: int, base: int, bits: Symbols) -> None:
        """Sets bits from `base` on: those at the places, or the first `count`."""
        self._functions["set"](_address(places), count, base, _address(bits))

    def count_classes(self, classes: Symbols) -> NDArray[np.int64]:
        """How many are of each of the 256 classes."""
        found = np.zeros(CLASSES, np.int64)
        self._functions["count"](_address(classes), len(classes), _address(found))
        return found

    def gather(self, classes: Symbols, bits: Bits, next_: NDArray[np.int64], found: Bits) -> None:
        """Puts each bit where its class's next one goes, by `next_`, which moves on."""
        run = _address(classes), _address(bits), len(bits)
        self._functions["gather"](*run, _address(next_), _address(found))

    def count_codes(
        self, classes: Symbols, codes: Symbols | None, alone: int, bits: Bits, counts: NDArray[np.uint32]
    ) -> None:
        """Adds to counts, (2, classes, 255): of all bits, and of those set, by class and code."""
        run = _address(classes), _address(codes), alone, _address(bits), len(bits)
        self._functions["counted"](*run, _address(counts[0]), _address(counts[1]))

    def foretell(
        self, classes: Symbols, bits: Bits, curves: tuple[Floats, Floats], shape: tuple[int, int]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sums of what classes foretell, of p (1 - p), and of set bits: by filter and by channel.

        Args:
            classes, bits: of rows of kernels.
            curves: p and p (1 - p) by class.
            shape: rows and columns.

        Returns:
            (3, rows) and (3, columns).
        """
        found = np.zeros((3, shape[0])), np.zeros((3, shape[1]))
        run = _address(classes), _address(bits), *shape
        self._functions["foretold"](*run, *map(_address, curves), *map(_address, found))
        return found

    def by_cell(
        self,
        classes: Symbols,
        cells: NDArray[np.uint16] | None,
        bits: Bits,
        step: int,
        counts: tuple[int, int],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of every `step`th weight: counts by entry of the table and class, and of set bits by entry.

        Args:
            classes, bits: of a run.
            cells: entries; None if all have the first.
            step: at least 1.
            counts: entries, and classes.
        """
        all_, set_ = np.zeros(counts, np.int64), np.zeros(counts[0], np.int64)
        run = _address(classes), _address(cells), _address(bits), len(bits), step, counts[1]
        self._functions["by_cell"](*run, _address(all_), _address(set_))
        return all_, set_


def loops() -> Loops | None:
    """The library; None where it is not, or not wanted."""
    named = os.environ.get(VARIABLE, "")
    return None if named == NUMPY or np.intp != np.int64 else _opened(named)


@cache
def _opened(named: str) -> Loops | None:
    """The library of this path, or the first here that fits; of another machine or version it does not.

    Raises:
        UsageFault: the one that is named cannot be used.
    """
    for path in [Path(named)] if named else sorted(Path(__file__).parent.glob(PATTERN)):
        try:
            return Loops(path)
        except (OSError, AttributeError, ValueError) as error:
            if named:
                raise UsageFault(
                    f"{VARIABLE} names {named}, which cannot be used: {error}; expected a build of the loops "
                    f"of this version, or {NUMPY}"
                ) from error
    return None


def _address(array: NDArray[Any] | None) -> int | None:
    if array is None:
        return None
    try:
        # A third of the time of what follows.
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]
    except (TypeError, ValueError):  # empty, or not to be written
        if not array.flags.c_contiguous:
            raise ValueError("an array for compiled loops is not in one piece") from None
        found: int = array.__array_interface__["data"][0]
        return found
