"""`grouped.Spread` by compiled loops: bits lie class after class and are looked up one by one."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket.coding.streams import Vector
from recycle_pipeline.exporters.ticket.contexts.context import CLASSES, RUN, Symbols
from recycle_pipeline.exporters.ticket.contexts.grouped import Of, Places
from recycle_pipeline.exporters.ticket.loops import BYTE, PADDING, Loops


class LookedUp:
    """Gives the places of set bits, in the order in which bits were added. See `grouped.Spread`.

    Of classes that have too few bits the first run's is told; `Spread` takes runs together.

    Args:
        vectors: the bits of each class; None where none is set, however many there are.
        total: bits of all vectors.
        compiled: the loops.
    """

    def __init__(self, vectors: Iterable[Vector | None], total: int, compiled: Loops) -> None:
        # A run is looked up before it is known that its bits are there.
        self._bits = np.zeros((total + PADDING) // BYTE + 2, np.uint8)
        self._first, self._steps = np.zeros(CLASSES, np.int64), np.ones(CLASSES, np.int64)
        self._ends, base = np.zeros(CLASSES, np.int64), 0
        for number, each in enumerate(vectors):
            if each is None:
                self._steps[number] = 0
            else:
                count = each.size if each.places is None else len(each.places)
                compiled.set_bits(each.places, count, base, self._bits)
                self._first[number], base = base, base + each.size
            self._ends[number] = base
        self._first[self._steps == 0] = self._ends[self._steps == 0] = total + PADDING  # where no bit is set
        self._next = self._first.copy()
        self._spread = compiled.spread(self._bits, self._next, self._steps)

    def places(self, layers: Iterable[Of]) -> list[Places]:
        """Where the bits of each of these are set, ascending. Raises ValueError if a class has no more."""
        found = []
        for of in layers:
            if of.constant is not None:
                every = np.full(min(RUN, of.count), of.constant, np.uint8)
                starts = range(0, of.count, RUN)
                runs = ((start, every[: min(RUN, of.count - start)]) for start in starts)
            else:
                runs = ((run.start, classes) for run, classes in of.runs())
            found.append([self._taken(start, classes) for start, classes in runs])
        return [np.concatenate(each) if each else np.zeros(0, np.intp) for each in found]

    def end(self) -> None:
        """Raises ValueError if a class has bits left."""
        for number in (self._next != self._ends).nonzero()[0].tolist():
            taken, size = (int(n[number] - self._first[number]) for n in (self._next, self._ends))
            raise ValueError(f"{taken} bits of class {number}, not {size}")

    def _taken(self, start: int, classes: Symbols) -> Places:
        near = self._spread(classes)
        if (beyond := self._next > self._ends).any():
            number = int(beyond.nonzero()[0][0])
            raise ValueError(f"more than {self._ends[number] - self._first[number]} bits of class {number}")
        moved: NDArray[np.intp] = np.add(near, start, dtype=np.intp)
        return moved


assert RUN <= PADDING
