"""Where a weight was drawn: the stream, and which rows and columns of the drawn weight are left."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Drawn:
    """Of a weight in an exported graph.

    Attributes:
        key: of the stream of its signs.
        shape: of the weight as it was drawn.
        rows, columns: which indices of its first and second axis are left, rising; None for all of them.
    """

    key: int
    shape: tuple[int, ...]
    rows: NDArray[np.int32] | None = None
    columns: NDArray[np.int32] | None = None

    @property
    def size(self) -> int:
        """How many were drawn."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def bytes(self) -> int:
        """That rows and columns take."""
        return sum(each.nbytes for each in (self.rows, self.columns) if each is not None)

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a weight of that shape may be what is left."""
        left = list(self.shape)
        for axis, each in enumerate((self.rows, self.columns)):
            if each is not None:
                left[axis] = len(each)
        return tuple(left) == shape

    def laid_out(self, weight: NDArray[np.int8]) -> NDArray[np.int8]:
        """What is left at the places where it was drawn, zeros elsewhere; `shape`."""
        found = np.zeros(self.shape, weight.dtype)
        rows, columns = (
            np.arange(size) if each is None else each
            for size, each in zip(self.shape, (self.rows, self.columns), strict=False)
        )
        found[np.ix_(rows, columns)] = weight
        return found
