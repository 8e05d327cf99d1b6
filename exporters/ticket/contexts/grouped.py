"""Bits sorted by class, and back.

Within a class bits stay in order: layer after layer, and in each layer as its weights are.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket.coding.streams import Vector
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
            order, here, counts = _sorted(classes)
            taken, first = bits[run].take(order), 0
            for number, count in zip(here.tolist(), counts.tolist(), strict=True):
                self._found[number].append(taken[first : first + count])
                first += count

    def vectors(self) -> list[Bits]:
        """The bits of each class; 256 vectors."""
        return [np.concatenate(each) if each else np.zeros(0, np.bool_) for each in self._found]


class Spread:
    """The inverse of `Gathered`: gives the places of set bits back, in the order in which bits were added.

    Args:
        vectors: the bits of each class; None where none is set, however many there are.
    """

    def __init__(self, vectors: Sequence[Vector | None]) -> None:
        sizes = np.array([0 if each is None else each.size for each in vectors], np.int64)
        self._bases = np.cumsum(sizes) - sizes
        # Of all set bits, one class after the other: a class's base and the place in its vector.
        self._keys = np.concatenate(
            [
                np.zeros(0, np.int32),
                *(
                    each.places + np.int32(base)
                    for each, base in zip(vectors, self._bases.tolist(), strict=True)
                    if each is not None and each.places is not None
                ),
            ]
        )
        self._sizes, self._taken = sizes, np.zeros(len(sizes), np.int64)
        self._limits = np.where([each is None for each in vectors], np.iinfo(np.int64).max, sizes)
        self._full = {i for i, each in enumerate(vectors) if each is not None and each.places is None}

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
                found[-1].append(self._take(np.array([of.constant]), np.array([of.count]), None))
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
        for number in ((self._limits == self._sizes) & (self._taken != self._sizes)).nonzero()[0].tolist():
            raise ValueError(f"{self._taken[number]} bits of class {number}, not {self._sizes[number]}")

    def _settle(self, waiting: list[tuple[list[Places], int, Symbols]]) -> None:
        """Adds the places of these runs, each from its start on, to its list."""
        if not waiting:
            return
        order, here, counts = _sorted(np.concatenate([classes for _, _, classes in waiting]))
        # These are sorted faster, and there are at most so many.
        near = self._take(here, counts, order).astype(np.uint16)
        near.sort(kind="stable")
        if len(waiting) == 1:
            waiting[0][0].append(near + np.intp(waiting[0][1]))
            return
        ends = np.cumsum([len(classes) for _, _, classes in waiting])
        cuts = [0, *near.searchsorted(ends).tolist()]
        for (places, start, classes), end, i, j in zip(waiting, ends.tolist(), cuts, cuts[1:], strict=False):
            places.append(near[i:j] + np.intp(start - end + len(classes)))

    def _take(self, numbers: Places, counts: Places, order: Places | None) -> Places:
        """Takes so many bits of each of these classes; of those that are set, where they are in the order.

        Args:
            numbers: classes, ascending.
            counts: as many.
            order: of the bits, class after class; None if they are in their order.
        """
        first = self._bases.take(numbers) + self._taken.take(numbers)
        self._taken[numbers] += counts
        taken = self._taken.take(numbers)
        if (over := taken > self._limits.take(numbers)).any():
            number = numbers[over.argmax()]
            raise ValueError(f"more than {self._sizes[number]} bits of class {number}")
        last = self._bases.take(numbers) + np.minimum(taken, self._sizes.take(numbers))
        low, high = self._keys.searchsorted(np.stack([np.minimum(first, last), last]).astype(np.int32))
        lengths, starts = high - low, np.cumsum(counts) - counts
        picked = np.arange(lengths.sum()) + (low - np.cumsum(lengths) + lengths).repeat(lengths)
        ranks = self._keys.take(picked) + (starts - first).repeat(lengths)
        full = [i for i, number in enumerate(numbers.tolist()) if number in self._full] if self._full else []
        ranks = np.concatenate([ranks, *(np.arange(starts[i], starts[i] + counts[i]) for i in full)])
        return ranks if order is None else order.take(ranks)


def _sorted(classes: Symbols) -> tuple[Places, Places, Places]:
    """The order that sorts a run by class; which classes there are, and how many of each."""
    order = np.argsort(classes, kind="stable")
    counts = np.diff(classes.searchsorted(NUMBERS, "right", sorter=order), prepend=0)
    here = counts.nonzero()[0]
    return order, here, counts.take(here)


NUMBERS = np.arange(CLASSES, dtype=np.uint8)
