"""Densities of filters, and a scale for them that a legend can show."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Densities = NDArray[np.float64]
STEPS = (1, 2, 5)  # of a decade
LEAST_SPAN = 10.0  # from end to end, so that small differences do not look large


def filter_densities(mask: NDArray[np.bool_]) -> Densities:
    """The fraction kept of each filter, from the densest down; (filters,).

    Args:
        mask: (filters, ...): the first axis of a weight is that of its outputs.
    """
    return np.sort(mask.reshape(len(mask), -1).mean(1))[::-1]


@dataclass(frozen=True)
class Scale:
    """A logarithmic scale from `low` to `high`, fractions above 0; its ends are 1, 2 or 5 of a decade."""

    low: float
    high: float

    def position(self, densities: Densities) -> Densities:
        """0 at the low end to 1 at the high one; what lies below, such as 0, is at the low end."""
        raised = np.maximum(densities, self.low)
        return np.clip(np.log(raised / self.low) / math.log(self.high / self.low), 0, 1)

    def ticks(self) -> list[float]:
        """Both ends, then powers of ten, then the rest: the order in which labels are worth their place."""
        inside = [value for value in _steps() if self.low * 1.001 < value < self.high * 0.999]
        return [self.low, self.high, *sorted(inside, key=lambda value: not _is_power(value))]


def scale_for(layers: Iterable[Densities]) -> Scale:
    """The scale that shows all these densities but 0."""
    found = [value for densities in layers for value in densities[densities > 0]]
    most, least = max(found, default=1.0), min(found, default=1.0)
    high = min(value for value in _steps() if value >= most * 0.999)
    low = max(value for value in _steps() if value <= min(least * 1.001, high / LEAST_SPAN * 1.001))
    return Scale(low, high)


def _steps() -> list[float]:
    """1, 2 and 5 of each decade from 1e-12 to 1: a filter has at most 2**30 weights."""
    return sorted(step * 10.0**power for power in range(-12, 1) for step in STEPS if step * 10.0**power <= 1)


def _is_power(value: float) -> bool:
    return abs(math.log10(value) - round(math.log10(value))) < 1e-6
