"""The classes of a layer's bits, one kernel position after the other.

A weight has a sum: table[bits of the weight's byte, bits of the score's byte] - 128 + level of its filter +
of its input channel + of its kernel position + of its neighbours' code. Four sums make a class, of which
there are 128: class = 64 + sum // 4, but at least 0 and at most 127. Of each position come the mask's bits
first, of all kernels, then those that say which of the kept weights moved.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket.contexts.context import RUN, Context, Symbols
from recycle_pipeline.exporters.ticket.contexts.drawn import Cells, Drawn
from recycle_pipeline.exporters.ticket.contexts.grouped import Runs
from recycle_pipeline.exporters.ticket.contexts.neighbours import (
    ALONE,
    ByNeighbours,
    Kernels,
    Signs,
    extents_in_stages,
)
from recycle_pipeline.exporters.ticket.loops import Loops, loops
from recycle_pipeline.models.draws import signs_at, stream_key

Places = NDArray[np.intp]
Bits = NDArray[np.bool_]
Sums = NDArray[np.int16]
Seen = tuple[Symbols | None, Bits | None, list[Cells]]
STAGED_CLASSES, EVEN = 128, 64  # the class of even odds
STEPS = 4  # sums that make a class
ZERO = 128  # what stands for 0 in a table
OFFSET = STEPS * EVEN - ZERO  # from a table's entry to a sum from which classes count upwards


@dataclass(frozen=True)
class StagedContext:
    """A context, and what it adds for the neighbours' code.

    That of a mask has this if, and only if, the layer's kernel positions are decoded in turn.
    """

    plain: Context
    neighbours: ByNeighbours | None = None

    @property
    def only_class(self) -> int | None:
        """The class of all weights, if it is one."""
        if not self.plain.constant or self.neighbours is not None:
            return None
        return int(classes_of(self.plain.table[0].astype(np.int16) + np.int16(OFFSET))[0])


def classes_of(sums: NDArray[np.int16]) -> Symbols:
    """Of sums to which `OFFSET` was added, and which are lost."""
    np.clip(sums, 0, STEPS * STAGED_CLASSES - 1, out=sums)
    sums >>= STEPS.bit_length() - 1
    return sums.astype(np.uint8)


@dataclass
class Run:
    """Weights of one position that come one after the other.

    Attributes:
        kernels: which ones: a part of a layer's kernels, or of the kept ones.
        cells: where in the table each is; 0 if the table has but one entry.
        codes: of neighbours, None where nothing came before.
    """

    kernels: slice
    cells: Cells
    codes: Symbols | None
    classes: Symbols


class Stage:
    """The classes of `count` bits of a layer, once; see `grouped.Of`."""

    def __init__(self, constant: int | None, count: int, coded: Iterator[Run]) -> None:
        self.constant, self.count, self.coded = constant, count, coded

    def runs(self) -> Runs:
        return ((run.kernels, run.classes) for run in self.coded)


def room_for(shape: tuple[int, ...], in_turn: bool) -> int:
    """Bytes that a layer's `Stages` take while its bits come in."""
    filters, channels, positions = extents_in_stages(shape, in_turn)
    return filters * channels * Kernels.rows(positions, shape[-1]) if positions > 1 else 0


class Stages:
    """A layer's bits in the order in which they are coded.

    Args:
        name, shape, seed: of the layer's draws.
        of_mask, of_moved: its contexts; None if no weight moved.
        signs: whether a weight that moved has the other sign; else its sign is not known.
        remembers: whether to keep what `again` needs: 4 bytes a weight.
        room: zeros, as many as `room_for` says; taken if None.
    """

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...],
        seed: int,
        of_mask: StagedContext,
        of_moved: StagedContext | None,
        signs: bool,
        remembers: bool = False,
        room: Signs | None = None,
    ) -> None:
        self.filters, self.channels, self.positions = extents_in_stages(shape, of_mask.neighbours is not None)
        self.kernels = self.filters * self.channels
        self._weights, self._scores = stream_key(seed, name), stream_key(seed, name, purpose="score")
        self._of_mask, self._of_moved, self._signs = of_mask, of_moved, signs
        self._terms = [None if each is None else _Terms.of(each) for each in (of_mask, of_moved)]
        turns = self.positions > 1
        self._known = Kernels(self.kernels, self.positions, shape[-1], room) if turns else None
        self._codes: Symbols | None = None
        self._negative: Bits | None = None
        self._remembers, self._memory = remembers, dict[int, Seen]()

    def again(self, of_mask: StagedContext, of_moved: StagedContext | None) -> "Stages":
        """The same bits from the first position on, with other levels: for a writer, which knows all bits.

        What the seed and weights before say is not computed again, if it was remembered.
        """
        other = copy.copy(self)
        other._of_mask, other._of_moved = of_mask, of_moved
        other._terms = [None if each is None else _Terms.of(each) for each in (of_mask, of_moved)]
        other._known = None
        return other

    def masks(self, position: int) -> Stage:
        """Of a bit for each kernel: whether its weight at this position is kept."""
        return Stage(self._of_mask.only_class, self.kernels, self._mask_runs(position))

    def moved(self, position: int, kept: Places) -> Stage:
        """Of a bit for each kernel whose weight is kept: whether that moved."""
        assert self._of_moved is not None
        return Stage(self._of_moved.only_class, len(kept), self._moved_runs(position, kept))

    def settle(self, position: int, kept: Places, moved: Bits | None) -> None:
        """Says which were kept, and which of these moved."""
        if self._known is None or position == self.positions - 1:
            self._codes = self._negative = None
            return
        if self._negative is not None and (compiled := self._known.compiled) is not None:
            bits = None if moved is None else np.ascontiguousarray(moved)
            self._known.settle_by_seed(compiled, position, kept, self._negative, (bits, self._signs))
            self._codes = self._negative = None
            return
        if self._negative is None:
            negative = signs_at(self._weights, kept * self.positions + position)
        else:
            negative = self._negative.take(kept)
        if moved is not None and self._signs:
            negative ^= moved
        signs = negative.view(np.int8) * np.int8(-2) + np.int8(1)
        if moved is not None and not self._signs:
            signs[moved] = 0
        self._known.settle(position, kept, signs)
        self._codes = self._negative = None

    def _blocks(self) -> Iterator[slice]:
        """Whole rows of kernels, or parts of one row."""
        rows, columns = max(1, RUN // self.channels), min(RUN, self.channels)
        for row in range(0, self.filters, rows):
            last = min(row + rows, self.filters) * self.channels
            for first in range(row * self.channels, last, rows * columns):
                yield slice(first, min(first + rows * columns, last))

    def _mask_runs(self, position: int) -> Iterator[Run]:
        terms = self._terms[0]
        assert terms is not None
        for run, cells, codes in self._seen(position):
            count, (row, skipped) = run.stop - run.start, divmod(run.start, self.channels)
            columns = min(self.channels, count)
            rows = slice(row, row + count // columns), slice(skipped, skipped + columns)
            yield Run(run, cells, codes, terms.of_rows(cells, codes, rows, position))

    def _seen(self, position: int) -> Iterator[tuple[slice, Cells, Symbols | None]]:
        """Runs of a position, with what the seed and the weights before say of them."""
        if (old := self._memory.get(position)) is not None:
            self._codes, self._negative, cells = old
            for run, own in zip(self._blocks(), cells, strict=True):
                yield run, own, None if self._codes is None else self._codes[run]
            return
        kept = list[Cells]()
        for run, own, codes in self._computed(position):
            if self._remembers:
                kept.append(own if isinstance(own, int) else own.astype(np.uint16))
            yield run, own, codes
        if self._remembers:
            self._memory[position] = self._codes, self._negative, kept

    def _computed(self, position: int) -> Iterator[tuple[slice, Cells, Symbols | None]]:
        context, known = self._of_mask.plain, self._known if position else None
        if known is not None:
            self._codes, self._negative = np.empty(self.kernels, np.uint8), np.empty(self.kernels, np.bool_)
        drawn = Drawn(context, (self._weights, self._scores), self.positions)
        for run in self._blocks():
            negative = None if self._negative is None else self._negative[run]
            cells, codes = drawn.run(run.start, position, run.stop - run.start, negative), None
            if known is not None and negative is not None and self._codes is not None:
                codes = known.codes(position, run, negative, out=self._codes[run])
            yield run, cells, codes

    def _moved_runs(self, position: int, kept: Places) -> Iterator[Run]:
        assert self._of_moved is not None
        context, terms = self._of_moved.plain, self._terms[1]
        assert terms is not None
        drawn = Drawn(context, (self._weights, self._scores), self.positions)
        for start in range(0, len(kept), RUN):
            part = kept[start : start + RUN]
            negative = None if self._negative is None else self._negative.take(part)
            cells = drawn.at(part, position, negative)
            codes = None if self._codes is None else self._codes.take(part)
            sums = terms.sums(cells, codes, len(part), position)
            if terms.filters is not None or terms.channels is not None:
                self._add_levels(terms, sums, part)
            yield Run(slice(start, start + len(part)), cells, codes, classes_of(sums))

    def _add_levels(self, terms: "_Terms", sums: Sums, kept: Places) -> None:
        filters = np.arange(kept[0] // self.channels, kept[-1] // self.channels + 1)
        counts = np.diff(kept.searchsorted(filters * self.channels), append=len(kept))
        if terms.filters is not None:
            sums += terms.filters[filters].repeat(counts)
        if terms.channels is not None:
            sums += terms.channels.take(kept - (filters * self.channels).repeat(counts))


@dataclass(frozen=True)
class _Terms:
    """Those of a sum, None where all are 0; `codes` is of neighbours; and what adds them up."""

    table: Sums
    codes: Sums | None
    filters: Sums | None
    channels: Sums | None
    positions: Sums | None
    compiled: Loops | None

    @staticmethod
    def of(context: StagedContext) -> "_Terms":
        codes = None if context.neighbours is None else context.neighbours.table()
        filters, channels, positions = (
            None if each is None else each.astype(np.int16) for each in context.plain.levels
        )
        table = context.plain.table.reshape(-1).astype(np.int16) + np.int16(OFFSET)
        return _Terms(table, codes, filters, channels, positions, loops())

    def of_rows(
        self, cells: Cells, codes: Symbols | None, rows: tuple[slice, slice], position: int
    ) -> Symbols:
        """The classes of these filters and channels at a position."""
        filters = None if self.filters is None else self.filters[rows[0]]
        channels = None if self.channels is None else self.channels[rows[1]]
        shape = rows[0].stop - rows[0].start, rows[1].stop - rows[1].start
        if (compiled := self.compiled) is not None:
            own = None if isinstance(cells, int) else cells.astype(np.uint16, copy=False)
            beside = None if self.codes is None or codes is None else (codes, self.codes)
            common = 0 if self.positions is None else int(self.positions[position])
            common += 0 if self.codes is None or codes is not None else int(self.codes[ALONE])
            return compiled.classes(own, self.table, beside, common, filters, channels, shape)
        sums = self.sums(cells, codes, shape[0] * shape[1], position)
        found = sums.reshape(shape)
        if filters is not None:
            found += filters[:, None]
        if channels is not None:
            found += channels
        return classes_of(sums)

    def sums(self, cells: Cells, codes: Symbols | None, count: int, position: int) -> Sums:
        """All but levels of filters and channels; (count,)."""
        found = np.full(count, self.table[cells]) if isinstance(cells, int) else self.table.take(cells)
        if self.codes is not None:
            found += self.codes[ALONE] if codes is None else self.codes.take(codes)
        if self.positions is not None:
            found += self.positions[position]
        return found
