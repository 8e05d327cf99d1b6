"""Bits sorted by class, and back.

Within a class bits stay in order: layer after layer, and in each layer as the weights are.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket.contexts.context import BLOCK, CLASSES, Classes

Bits = NDArray[np.bool_]
Of = Classes | int  # of each bit, or of all


def sizes_of(classes: Of, count: int) -> NDArray[np.intp]:
    """How many of `count` bits are of each class; (256,)."""
    if isinstance(classes, int):
        return np.bincount([classes], [count], CLASSES).astype(np.intp)
    found = np.zeros(CLASSES, np.intp)
    for start in range(0, count, BLOCK):
        found += np.bincount(classes[start : start + BLOCK], minlength=CLASSES)
    return found


def gathered(layers: Sequence[tuple[Of, Bits]]) -> list[Bits]:
    """The bits of each class; 256 vectors.

    Args:
        layers: the class of each bit, and the bits; both (n,).
    """
    found: list[list[Bits]] = [[] for _ in range(CLASSES)]
    for classes, bits in layers:
        if isinstance(classes, int):
            found[classes].append(bits)
            continue
        for start in range(0, len(bits), BLOCK):
            part, order, bounds = _sorted(classes[start : start + BLOCK])
            taken = bits[start : start + BLOCK][order]
            for number, first, last in zip(part, bounds, bounds[1:], strict=False):
                found[number].append(taken[first:last])
    return [np.concatenate(each) if each else np.zeros(0, np.bool_) for each in found]


class Spread:
    """The inverse, a layer at a time, in the order in which they were gathered."""

    def __init__(self, vectors: Sequence[Bits]) -> None:
        self._vectors = vectors
        self._taken = [0] * CLASSES

    def next(self, classes: Of, count: int) -> Bits:
        """The bits of the next layer; (count,)."""
        if isinstance(classes, int):
            return self._take(classes, count).copy()
        found = np.empty(count, np.bool_)
        for start in range(0, count, BLOCK):
            part, order, bounds = _sorted(classes[start : start + BLOCK])
            sizes = (last - first for first, last in pairwise(bounds))
            taken = [self._take(number, size) for number, size in zip(part, sizes, strict=True)]
            found[start : start + BLOCK][order] = np.concatenate(taken)
        return found

    def _take(self, number: int, count: int) -> Bits:
        first = self._taken[number]
        self._taken[number] = first + count
        return self._vectors[number][first : first + count]


def _sorted(classes: Classes) -> tuple[list[int], NDArray[np.intp], list[int]]:
    """Which classes there are, the order that sorts by class, and where each begins, and the end."""
    order = np.argsort(classes, kind="stable")
    sizes = np.bincount(classes, minlength=CLASSES)
    part = np.flatnonzero(sizes)
    return part.tolist(), order, [0, *np.cumsum(sizes[part]).tolist()]
