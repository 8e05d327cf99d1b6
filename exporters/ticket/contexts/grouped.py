"""Bits sorted by class, and back.

Within a class bits stay in order: layer after layer, and in each layer as its weights are.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket.contexts.context import CLASSES, RUN, Classes, Symbols
from recycle_pipeline.models.subnetwork import places_of

BLOCK = 1 << 19  # weights whose kept ones are looked for at a time
Bits = NDArray[np.bool_]
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


def gathered(layers: Iterable[tuple[Of, Bits]]) -> list[Bits]:
    """The bits of each class over all layers; 256 vectors.

    Args:
        layers: the classes of bits, and the bits; (n,).
    """
    found: list[list[Bits]] = [[] for _ in range(CLASSES)]
    for of, bits in layers:
        if of.constant is not None:
            found[of.constant].append(bits)
            continue
        for run, order, parts in _sorted(of):
            taken, first = bits[run][order], 0
            for number, last in parts:
                found[number].append(taken[first:last])
                first = last
    return [np.concatenate(each) if each else np.zeros(0, np.bool_) for each in found]


def spread(vectors: Sequence[Bits | None], layers: Iterable[Of]) -> list[Bits]:
    """The inverse of `gathered`: the bits of each layer.

    Args:
        vectors: the bits of each class; None where none is set, however many there are.
        layers: the classes of bits.

    Raises:
        ValueError: a class has more or fewer bits.
    """
    taken, found = [0] * CLASSES, []

    def take(number: int, count: int) -> Bits:
        vector, first = vectors[number], taken[number]
        taken[number] = last = first + count
        if vector is None:
            return unset[:count]
        if last > len(vector):
            raise ValueError(f"more than {len(vector)} bits of class {number}")
        return vector[first:last]

    for of in layers:
        unset = np.zeros(min(of.count, RUN) if of.constant is None else of.count, np.bool_)
        if of.constant is not None:
            found.append(take(of.constant, of.count).copy())
            continue
        bits = np.zeros(of.count, np.bool_)
        for run, order, parts in _sorted(of):
            first, pieces = 0, []
            for number, last in parts:
                pieces.append(take(number, last - first))
                first = last
            bits[run][order.take(places_of(np.concatenate(pieces)))] = True
        found.append(bits)
    for number, vector in enumerate(vectors):
        if vector is not None and taken[number] != len(vector):
            raise ValueError(f"{taken[number]} bits of class {number}, not {len(vector)}")
    return found


def _sorted(of: Of) -> Iterator[tuple[slice, NDArray[np.intp], list[tuple[int, int]]]]:
    """Of each run, the order that sorts it by class; and which classes there are, and where each ends."""
    for run, classes in of.runs():
        order = np.argsort(classes, kind="stable")
        ends = classes.take(order, mode="clip").searchsorted(NUMBERS, "right")
        parts = (ends[1:] != ends[:-1]).nonzero()[0] + 1
        if ends[0]:
            parts = np.concatenate([[0], parts])
        yield run, order, list(zip(parts.tolist(), ends.take(parts).tolist(), strict=True))


NUMBERS = np.arange(CLASSES, dtype=np.uint8)
