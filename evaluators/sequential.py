"""When to stop measuring without fooling oneself: evidence that stays valid however often one looks.

A test at 5 % that is repeated after every few samples until it is significant finds something in nothing far
more often than one time in twenty. The evidence here may be looked at after every value.

Values x_1, x_2, ... are each symmetric about a common centre, given those before. For a centre of at most c,
an odd, increasing bet on x - c cannot be expected to win: the product of 1 + tanh(b (x_i - c)) is a
nonnegative supermartingale that starts at 1, for every b > 0, and so is a mean of such products over several
b. By Ville's inequality (1939) the chance that it ever reaches 1 / alpha is at most alpha. No variance is
estimated and no distribution assumed besides the symmetry: outliers count as one sign. Sources: V. H. de la
Pena, A general class of exponential inequalities for martingales and ratios (1999), for symmetric values; A.
Ramdas, J. Ruf, M. Larsson and W. Koolen, Admissible anytime-valid sequential inference must rely on
nonnegative martingales (2020), for betting of this kind. The mixture over b is ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recycle_pipeline.models.errors import UsageFault

# Bets per unit of x, here logarithms of ratios: from one that tells 30 % from 0, to the bare sign.
BETS = np.array([4.0, 12.0, 36.0, 108.0, 324.0, 972.0, np.inf])
WIDEST = 5.0  # an interval that reaches so far in x (a ratio of 148) has no bound


@dataclass(frozen=True)
class Interval:
    """Where the centre lies, at `1 - alpha`, at every look at once; both ends in the units of the values."""

    low: float
    high: float
    alpha: float


def evidence_above(values: Sequence[float], centre: float) -> float:
    """Logarithm of the evidence that the values' centre lies above `centre`; `log(1 / alpha)` is enough.

    Args:
        values: in the order of measurement.
        centre: in the units of the values.
    """
    x = np.asarray(values, np.float64) - centre  # (n,)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        bets = np.where(x == 0, 0.0, np.tanh(BETS[:, None] * x))  # (bets, n); inf * 0 is no bet
        logs = np.log1p(bets).sum(axis=1)  # (bets,), -inf once a bet was lost whole
    return float(np.logaddexp.reduce(logs) - np.log(len(BETS)))


def evidence_below(values: Sequence[float], centre: float) -> float:
    """Logarithm of the evidence that the values' centre lies below `centre`."""
    return evidence_above([-value for value in values], -centre)


def interval(values: Sequence[float], alpha: float) -> Interval:
    """All centres against which there is less than enough evidence: `alpha / 2` each way.

    Raises:
        UsageFault: an alpha that is not between 0 and 1.
    """
    enough = threshold(alpha / 2)
    low = _last_rejected(np.asarray(values, np.float64), enough)
    high = -_last_rejected(-np.asarray(values, np.float64), enough)
    return Interval(low, high, alpha)


def threshold(alpha: float) -> float:
    """Evidence (a logarithm) that is reached with a chance of at most `alpha` where there is nothing.

    Raises:
        UsageFault: an alpha that is not between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise UsageFault(f"a chance of error of {alpha:g} given; expected one between 0 and 1, such as 0.01.")
    return float(np.log(1 / alpha))


def fewest(alpha: float) -> int:
    """Values that a decision takes at the least: with fewer no evidence is enough."""
    n = 1
    while evidence_above([WIDEST] * n, 0.0) < threshold(alpha / 2):
        n += 1
    return n


def _last_rejected(values: npt.NDArray[np.float64], enough: float) -> float:
    """The largest centre that the evidence for more rejects; it falls as the centre rises. Bisection."""
    low, high = -WIDEST, WIDEST
    if not len(values) or evidence_above(values.tolist(), low) < enough:
        return float("-inf")
    for _ in range(50):
        middle = (low + high) / 2
        if evidence_above(values.tolist(), middle) >= enough:
            low = middle
        else:
            high = middle
    return low
