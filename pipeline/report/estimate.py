"""A number with what it rests on: how many observations, and the 95 % interval where there is one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recycle_pipeline.evaluators.accuracy import Z95, wilson
from recycle_pipeline.models.errors import UsageFault


@dataclass(frozen=True)
class Estimate:
    """What was measured.

    Attributes:
        value: in the unit that the owner's name says; fractions from 0 to 1.
        n: observations behind it.
        of: what they are, in the plural: "test images", "rounds", "pairs of sessions", "runs".
        low, high: limits of the 95 % interval; both None where there is none.
    """

    value: float
    n: int
    of: str
    low: float | None = None
    high: float | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Its limits, None where there is none."""
        return None if self.low is None or self.high is None else (self.low, self.high)


def proportion(top1: float, n: int, of: str = "test images") -> Estimate:
    """A fraction of n with Wilson's interval. Raises UsageFault where that is no fraction of n."""
    if not 0 <= top1 <= 1 or n < 1:
        raise UsageFault(f"a fraction {top1} of {n} given; expected 0 to 1, of at least 1")
    low, high = wilson(round(top1 * n), n)
    return Estimate(top1, n, of, low, high)


def ratio(found: Mapping[str, Any]) -> Estimate:
    """A ratio of medians as verify.json has it, with the interval it has there.

    What the interval is over: pairs of sessions, or in files of before the rounds of the only pair.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    pairs = int(found.get("sessions", 1))
    n, of = (pairs, "pairs of sessions") if pairs > 1 else (int(found["n"]), "rounds")
    return Estimate(float(found["ratio"]), n, of, float(found["low"]), float(found["high"]))


def quantile(samples: Sequence[float], fraction: float, of: str = "rounds") -> Estimate:
    """A quantile with the interval between two order statistics, which assumes no distribution.

    Of n sorted samples those at ranks n p -+ z sqrt(n p (1 - p)), widened to whole ranks (Conover, Practical
    Nonparametric Statistics, 3rd ed., section 3.2); samples are taken as independent. Where one of the
    ranks is not there, n is too small for an interval, and there is none.

    Args:
        samples: at least one.
        fraction: p, between 0 and 1.
        of: what they are.
    """
    ordered, n = sorted(samples), len(samples)
    half = Z95 * math.sqrt(n * fraction * (1 - fraction))
    first, last = math.floor(n * fraction - half), math.ceil(n * fraction + 1 + half)  # ranks, from 1
    value = _interpolated(ordered, fraction)
    if first < 1 or last > n:
        return Estimate(value, n, of)
    return Estimate(value, n, of, ordered[first - 1], ordered[last - 1])


def _interpolated(ordered: Sequence[float], fraction: float) -> float:
    """As numpy.percentile has it."""
    place = (len(ordered) - 1) * fraction
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


# Student's t, two-sided 95 %, by degrees of freedom from 1.
T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145)


def mean(values: Sequence[float], of: str = "seeds") -> Estimate:
    """The mean with Student's interval; without one for a single value.

    Args:
        values: at least one, each of a search of its own.
        of: what they are.
    """
    n, centre = len(values), math.fsum(values) / len(values)
    if n < 2:
        return Estimate(centre, n, of)
    variance = math.fsum((value - centre) ** 2 for value in values) / (n - 1)
    t = T95[n - 2] if n - 2 < len(T95) else T95[-1]  # wider than it must be, above 15 values
    half = t * math.sqrt(variance / n)
    return Estimate(centre, n, of, centre - half, centre + half)
