"""What is known of a tensor's channels before any image is seen."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]

# Sums of the same numbers at different places of a map may differ in float64's last bits.
SAME = 1e-9


@dataclass(frozen=True)
class Layout:
    """How channels lie in a tensor: (batch, count, *inner), or flattened to (batch, count * inner).

    Attributes:
        count: of channels.
        inner: sizes behind the channels.
        flat: whether axis 1 holds channels and inner together, as behind a Flatten.
    """

    count: int
    inner: tuple[int, ...] = ()
    flat: bool = False

    @property
    def each(self) -> int:
        """Numbers in a channel."""
        return int(np.prod(self.inner, dtype=np.int64))

    @property
    def rank(self) -> int:
        return 2 if self.flat else 2 + len(self.inner)

    def features(self, channels: Mask) -> Mask:
        """The mask (count,) as one along axis 1."""
        return np.repeat(channels, self.each) if self.flat else channels


@dataclass(frozen=True)
class Known:
    """The channels of one tensor whose values do not depend on the input.

    Attributes:
        mask: (C,), True = known.
        maps: (C, *inner), their values; 0 where not known.
        exact: (C,), True where a float32 runtime computes these very bits in whatever order it sums.
    """

    mask: Mask
    maps: Values
    exact: Mask

    @staticmethod
    def nothing(layout: Layout) -> "Known":
        unknown = np.zeros(layout.count, bool)
        return Known(unknown, np.zeros((layout.count, *layout.inner)), unknown)

    @staticmethod
    def where(mask: Mask, maps: Values, exact: Mask) -> "Known":
        """Clears what is not known, or not a finite number."""
        mask = mask & np.isfinite(maps).reshape(len(mask), -1).all(1)
        shaped = mask.reshape(-1, *[1] * (maps.ndim - 1))
        return Known(mask, np.where(shaped, maps, 0.0), mask & exact)

    @property
    def nonzero(self) -> Mask:
        """(C,), known and somewhere not 0."""
        return np.asarray(per_channel(self.maps).any(1))

    @property
    def zero(self) -> Mask:
        """(C,), known to be 0 everywhere."""
        return self.mask & ~self.nonzero

    @property
    def uniform(self) -> Mask:
        """(C,), known and the same everywhere."""
        return self.mask & uniform(self.maps)


def per_channel(maps: NDArray[Any]) -> NDArray[Any]:
    """(C, *inner) as (C, inner)."""
    return maps.reshape(len(maps), -1)


def uniform(maps: Values) -> Mask:
    """(C,), True where a map (C, *inner) is the same everywhere, but for float64's last bits."""
    rows = per_channel(maps)
    return np.asarray(np.ptp(rows, axis=1) <= SAME * np.abs(rows).max(axis=1))
