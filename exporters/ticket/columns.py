"""A layer's bits as a writer has them: all of them, one kernel position after the other."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket.contexts.staged import Stage, Stages
from recycle_pipeline.models.subnetwork import MaskedTensor, places_of

Bits = NDArray[np.bool_]
Places = NDArray[np.intp]
StagedBits = tuple[int, int, Stage, Bits, Places | None]


@dataclass(frozen=True)
class Column:
    """Bits of a kernel position.

    Attributes:
        mask: of each kernel.
        kept: the kernels whose weight is kept.
        moved: which of those moved, None if no weight of the layer did.
    """

    mask: Bits
    kept: Places
    moved: Bits | None

    def first(self, kernels: int) -> "Column":
        """Those of so many."""
        count = int(self.kept.searchsorted(kernels))
        return Column(
            self.mask[:kernels], self.kept[:count], None if self.moved is None else self.moved[:count]
        )


def columns_of(tensor: MaskedTensor, positions: int, kept: Places, moved: Bits | None) -> Iterator[Column]:
    """A layer's bits position by position.

    Args:
        tensor: the layer.
        positions: of a kernel, 1 if they are not in turn.
        kept: flat indices of the kept weights.
        moved: (kept,), which of them moved, None if none.
    """
    mask, marks = tensor.mask.reshape(-1, positions), None
    if moved is not None:
        marks = np.zeros(tensor.size, np.bool_)
        marks[kept] = moved
    for position in range(positions):
        own = np.ascontiguousarray(mask[:, position])
        here = places_of(own) if positions > 1 else kept
        yield Column(own, here, None if marks is None else marks.take(here * positions + position))


def bits_in_stages(columns: Iterable[Column], stages: Stages) -> Iterator[StagedBits]:
    """A layer's bits as they are coded.

    Yields:
        0 for the mask's bits or 1 for those of what moved; the position; the classes; the bits; and which
        kernels they are of, None if of all.
    """
    for position, column in enumerate(columns):
        yield 0, position, stages.masks(position), column.mask, None
        if column.moved is not None:
            yield 1, position, stages.moved(position, column.kept), column.moved, column.kept
        stages.settle(position, column.kept, column.moved)
