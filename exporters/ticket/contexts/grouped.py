"""Bits sorted by class, and back.

Within a class bits stay in order: layer after layer, and in each layer as its weights are.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket.coding.streams import Vector
from recycle_pipeline.exporters.ticket.contexts.context import CLASSES, RUN, Classes, Symbols
from recycle_pipeline.exporters.ticket.loops import Loops, loops
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


Piece = tuple[int | Symbols, Bits]  # bits, and the class of all or of each


class Gathered:
    """Bits that are sorted by class, one layer or part of one after the other."""

    def __init__(self) -> None:
        self._found = list[Piece]()

    def add(self, of: Of, bits: Bits) -> None:
        """Takes the bits, of these classes; (n,)."""
        self.take(pieces(of, bits))

    def take(self, pieces: Iterable[Piece]) -> None:
        """Takes what `pieces` gave."""
        self._found.extend(pieces)

    def vectors(self) -> list[Bits]:
        """The bits of each class; 256 vectors."""
        compiled = loops()
        counts = sum((_counts(*piece, compiled) for piece in self._found), np.zeros(CLASSES, np.intp))
        found, ends = np.empty(counts.sum(), np.bool_), counts.cumsum()
        next_ = ends - counts
        for of, bits in self._found:
            if isinstance(of, int):
                found[next_[of] : next_[of] + len(bits)] = bits
                next_[of] += len(bits)
            elif compiled is not None:
                compiled.gather(of, bits, next_, found)
            else:
                order, here, own = _sorted(of)
                taken, first = bits.take(order), 0
                for number, count in zip(here.tolist(), own.tolist(), strict=True):
                    found[next_[number] : next_[number] + count] = taken[first : first + count]
                    first, next_[number] = first + count, next_[number] + count
        return np.split(found, ends[:-1])


def pieces(of: Of, bits: Bits) -> Iterator[Piece]:
    """Bits of these classes, (n,), in runs."""
    if of.constant is not None:
        yield of.constant, bits
        return
    for run, classes in of.runs():
        yield classes, np.ascontiguousarray(bits[run])


def _counts(of: int | Symbols, bits: Bits, compiled: Loops | None) -> Places:
    if isinstance(of, int):
        found = np.zeros(CLASSES, np.intp)
        found[of] = len(bits)
        return found
    return np.bincount(of, minlength=CLASSES) if compiled is None else compiled.count_classes(of)


class Spread:
    """The inverse of `Gathered`: gives the places of set bits back, in the order in which bits were added.

    Args:
        vectors: the bits of each class; None where none is set, however many there are.
        most: how many bits may be set in all.
    """

    def __init__(self, vectors: Iterable[Vector | None], most: int) -> None:
        # A bit has a number: its class's base and its place in the vector. Of those set, all are here.
        keys, filled, base = np.empty(most, np.uint32), 0, 0
        sizes, free, self._full = list[int](), list[bool](), set[int]()
        for number, each in enumerate(vectors):
            free.append(each is None)
            sizes.append(0 if each is None else each.size)
            if each is not None and each.places is not None:
                here = slice(filled, filled + len(each.places))
                np.add(each.places, np.uint32(base), out=keys[here])
                filled = here.stop
            elif each is not None:
                self._full.add(number)
            base += sizes[-1]
        self._keys, self._free = keys[:filled], np.array(free)
        ends = np.cumsum(sizes, dtype=np.int64)
        bases = ends - sizes
        self._bases, self._ends, self._next = bases, ends, bases.copy()
        self._place = self._keys.searchsorted(bases.astype(np.uint32))  # of the next one's key

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
        for number in (~self._free & (self._next != self._ends)).nonzero()[0].tolist():
            taken, size = (int(n[number] - self._bases[number]) for n in (self._next, self._ends))
            raise ValueError(f"{taken} bits of class {number}, not {size}")

    def _settle(self, waiting: list[tuple[list[Places], int, Symbols]]) -> None:
        """Adds the places of these runs, each from its start on, to its list."""
        if not waiting:
            return
        (_, start, classes), *more = waiting
        order, here, counts = _sorted(np.concatenate([e for *_, e in waiting]) if more else classes)
        # These are sorted faster, and there are at most so many.
        near = self._take(here, counts, order).astype(np.uint16)
        near.sort(kind="stable")
        if not more:
            waiting[0][0].append(_moved(near, start))
            return
        ends = np.cumsum([len(classes) for _, _, classes in waiting])
        cuts = [0, *near.searchsorted(ends).tolist()]
        for (places, start, classes), end, i, j in zip(waiting, ends.tolist(), cuts, cuts[1:], strict=False):
            places.append(_moved(near[i:j], start - end + len(classes)))

    def _take(self, numbers: Places, counts: Places, order: Places | None) -> Places:
        """Takes so many bits of each of these classes; of those that are set, where they are in the order.

        Args:
            numbers: classes, ascending.
            counts: as many.
            order: of the bits, class after class; None if they are in their order.
        """
        first, ends = self._next.take(numbers), self._ends.take(numbers)
        self._next[numbers] = last = first + counts
        if (beyond := last > ends).any():
            if (wrong := numbers[beyond & ~self._free.take(numbers)]).size:
                number = int(wrong[0])
                size = self._ends[number] - self._bases[number]
                raise ValueError(f"more than {size} bits of class {number}")
            np.minimum(last, ends, out=last)
        low = self._place.take(numbers)
        self._place[numbers] = high = self._keys.searchsorted(last.astype(np.uint32))
        lengths, starts = high - low, counts.cumsum() - counts
        before = lengths.cumsum()
        picked = (low - before + lengths).repeat(lengths)
        picked += np.arange(len(picked))
        ranks: Places = self._keys.take(picked) + (starts - first).repeat(lengths)
        if self._full:
            full = [i for i, number in enumerate(numbers.tolist()) if number in self._full]
            ranks = np.concatenate([ranks, *(np.arange(starts[i], starts[i] + counts[i]) for i in full)])
        return ranks if order is None else order.take(ranks)


def _moved(near: NDArray[np.uint16], start: int) -> Places:
    """Places from a start on. numpy before 2 would keep 16 bits where a sum of them fits no more."""
    return np.add(near, start, dtype=np.intp)


def _sorted(classes: Symbols) -> tuple[Places, Places, Places]:
    """The order that sorts a run by class; which classes there are, and how many of each."""
    order = np.argsort(classes, kind="stable")
    counts = classes.searchsorted(NUMBERS, "right", sorter=order)
    counts[1:] -= counts[:-1].copy()
    here = counts.nonzero()[0]
    return order, here, counts.take(here)


NUMBERS = np.arange(CLASSES, dtype=np.uint8)
