"""Bits sorted by class, and back.

Within a class bits stay in order: layer after layer, and in each layer as its weights are.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket.contexts.context import CLASSES, RUN, Classes, Symbols
from recycle_pipeline.models.subnetwork import places_of

BLOCK = 1 << 19  # weights whose kept ones are looked for at a time
Bits = NDArray[np.bool_]
Places = NDArray[np.intp]
Runs = Iterable[tuple[slice, Symbols]]


class Of(Protocol):
    """The classes of `count` bits of a layer."""

    constant: int | None
    count: int

    def runs(self) -> Runs: ...


class OfAll:
    """Of a bit for each weight."""

    def __init__(self, classes: Classes) -> None:
        self.constant, self.count, self.runs = classes.constant, classes.size, classes.runs


class OfKept:
    """Of a bit for each of the `count` kept weights of a mask."""

    def __init__(self, classes: Classes, mask: Bits, count: int) -> None:
        self.constant, self.count = classes.constant, count
        self._classes, self._mask = classes, mask

    def runs(self) -> Runs:
        mask, first = self._mask.reshape(-1), 0
        for start in range(0, len(mask), BLOCK):
            places = places_of(mask[start : start + BLOCK]) + start
            for run, classes in self._classes.at(places):
                yield slice(first + run.start, first + run.stop), classes
            first += len(places)


class Gathered:
    """Bits that are sorted by class, one layer or part of one after the other."""

    def __init__(self) -> None:
        self._found: list[list[Bits]] = [[] for _ in range(CLASSES)]

    def add(self, of: Of, bits: Bits) -> None:
        """Takes the bits, of these classes; (n,)."""
        if of.constant is not None:
            self._found[of.constant].append(bits)
            return
        for run, classes in of.runs():
            order, parts = _sorted(classes)
            taken, first = bits[run][order], 0
            for number, last in parts:
                self._found[number].append(taken[first:last])
                first = last

    def vectors(self) -> list[Bits]:
        """The bits of each class; 256 vectors."""
        return [np.concatenate(each) if each else np.zeros(0, np.bool_) for each in self._found]


class Spread:
    """The inverse of `Gathered`: gives the bits back, in the order in which they were added.

    Args:
        vectors: the bits of each class; None where none is set, however many there are.
    """

    def __init__(self, vectors: Sequence[Bits | None]) -> None:
        self._vectors, self._taken = vectors, [0] * CLASSES
        self._unset = np.zeros(RUN, np.bool_)

    def places(self, layers: Iterable[Of]) -> list[Places]:
        """Where the bits of each of these are set, ascending. Raises ValueError if a class has no more.

        Short runs are taken together, for a run costs time whatever its length.
        """
        found: list[list[Places]] = []
        waiting: list[tuple[list[Places], int, Symbols]] = []
        length = 0
        for of in layers:
            found.append([])
            if of.constant is not None:
                self._settle(waiting)
                waiting, length = [], 0
                found[-1].append(places_of(self._take(of.constant, of.count)))
                continue
            for run, classes in of.runs():
                if length + len(classes) > RUN:
                    self._settle(waiting)
                    waiting, length = [], 0
                waiting.append((found[-1], run.start, classes))
                length += len(classes)
        self._settle(waiting)
        return [np.concatenate(each) if each else np.zeros(0, np.intp) for each in found]

    def end(self) -> None:
        """Raises ValueError if a class has bits left."""
        for number, vector in enumerate(self._vectors):
            if vector is not None and self._taken[number] != len(vector):
                raise ValueError(f"{self._taken[number]} bits of class {number}, not {len(vector)}")

    def _settle(self, waiting: list[tuple[list[Places], int, Symbols]]) -> None:
        """Adds the places of these runs, each from its start on, to its list."""
        if not waiting:
            return
        order, parts = _sorted(np.concatenate([classes for _, _, classes in waiting]))
        first, pieces = 0, []
        for number, last in parts:
            pieces.append(self._take(number, last - first))
            first = last
        near = order.take(places_of(np.concatenate(pieces))).astype(np.uint16)
        near.sort(kind="stable")  # these are sorted faster, and there are at most so many
        ends = np.cumsum([len(classes) for _, _, classes in waiting])
        cuts = [0, *near.searchsorted(ends).tolist()]
        for (places, start, classes), end, i, j in zip(waiting, ends.tolist(), cuts, cuts[1:], strict=False):
            places.append(near[i:j] + np.intp(start - end + len(classes)))

    def _take(self, number: int, count: int) -> Bits:
        vector, first = self._vectors[number], self._taken[number]
        self._taken[number] = last = first + count
        if vector is None:
            return self._unset[:count] if count <= RUN else np.zeros(count, np.bool_)
        if last > len(vector):
            raise ValueError(f"more than {len(vector)} bits of class {number}")
        return vector[first:last]


def _sorted(classes: Symbols) -> tuple[NDArray[np.intp], list[tuple[int, int]]]:
    """The order that sorts a run by class; and which classes there are, and where each ends."""
    order = np.argsort(classes, kind="stable")
    ends = classes.take(order, mode="clip").searchsorted(NUMBERS, "right")
    parts = (ends[1:] != ends[:-1]).nonzero()[0] + 1
    if ends[0]:
        parts = np.concatenate([[0], parts])
    return order, list(zip(parts.tolist(), ends.take(parts).tolist(), strict=True))


NUMBERS = np.arange(CLASSES, dtype=np.uint8)
