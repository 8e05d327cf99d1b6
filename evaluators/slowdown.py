"""Pass, regression or inconclusive: what the contrasts of blocks allow to be said about a limit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from recycle_pipeline.evaluators.blocks import Contrast
from recycle_pipeline.evaluators.sequential import fewest, interval
from recycle_pipeline.models.errors import UsageFault

Outcome = Literal["pass", "regression", "inconclusive"]
RESAMPLES = 1000
# What of an allowed slowdown must be left for a pass. One file was slower by 4.9 % on a calm machine and by
# 5.1 % on a busy one, with intervals of 0.2 %: what is that close to the limit is no pass.
SPARE = 0.1


@dataclass(frozen=True)
class Judgement:
    """What was found about one quantity, candidate over baseline. Ratios; 1 is "the same".

    Attributes:
        outcome: the verdict.
        reason: a sentence for people.
        limit: the largest ratio that passes.
        ratio: the centre of the blocks' ratios of medians (Hodges and Lehmann, 1963).
        low, high: its interval at `1 - alpha`, valid at every stop; None where nothing bounds it yet.
        bootstrap_low, bootstrap_high: its 95 % percentile interval over resampled blocks (Efron, 1979).
        p_slower, p_faster: of the signed-rank test (Wilcoxon, 1945) that the ratio is not above, not below
            the limit; one-sided, and for one look: the repeated looks are the interval's business.
        noise_floor: the half-width of the A/A interval, as a ratio minus 1; None where nothing bounds it yet.
        n: blocks.
        alpha: chance of any wrong verdict, at most.
    """

    outcome: Outcome
    reason: str
    limit: float
    ratio: float
    low: float | None
    high: float | None
    bootstrap_low: float
    bootstrap_high: float
    p_slower: float
    p_faster: float
    noise_floor: float | None
    n: int
    alpha: float

    @property
    def speed(self) -> str:
        """The one word that the intervals allow: "faster" or "slower" where neither includes 1."""
        if self.low is not None and min(self.low, self.bootstrap_low) > 1:
            return "slower"
        if self.high is not None and max(self.high, self.bootstrap_high) < 1:
            return "faster"
        return "not told apart"


def judge(contrasts: Sequence[Contrast], limit: float, alpha: float) -> Judgement:
    """Judges blocks so far. May be called after every block: see `sequential`.

    A verdict takes the interval that is valid at every stop, the bootstrap interval and the rank test on one
    side of the limit, and a limit beyond the noise floor; a pass also leaves `SPARE` of the allowed slowdown.
    Below the floor nothing passes; what is slower than limit and floor is a regression still.

    Args:
        contrasts: at least one, in order.
        limit: the largest ratio that passes, above 0.
        alpha: chance of a wrong verdict, both ways together.

    Raises:
        UsageFault: no contrasts, a limit that is not above 0, or an alpha that is not between 0 and 1.
    """
    if not contrasts or not 0 < limit < float("inf"):
        raise UsageFault(
            f"{len(contrasts)} blocks and the limit {limit:g} given; expected some, and above 0."
        )
    between = np.array([each.between for each in contrasts])
    found, noise = (
        interval([getattr(each, name) for each in contrasts], alpha) for name in ("between", "within")
    )
    floor, wanted = max(-noise.low, noise.high), float(np.log(limit))
    low, high = bootstrap(between)
    p_slower, p_faster = rank_test(between - wanted)
    slower = found.low > wanted and low > wanted and p_slower <= alpha / 2
    passing = passing_below(limit)
    faster = found.high < passing and high < passing and p_faster <= alpha / 2
    told = abs(wanted) >= floor
    outcome: Outcome = "inconclusive"
    if faster and told:
        outcome = "pass"
    elif slower and (told or found.low > floor):
        outcome = "regression"
    return Judgement(
        outcome=outcome,
        reason=reason(outcome, len(between), fewest(alpha), told, floor),
        limit=limit,
        ratio=float(np.exp(centre(between))),
        low=as_ratio(found.low),
        high=as_ratio(found.high),
        bootstrap_low=float(np.exp(low)),
        bootstrap_high=float(np.exp(high)),
        p_slower=p_slower,
        p_faster=p_faster,
        noise_floor=None if np.isinf(floor) else float(np.expm1(floor)),
        n=len(between),
        alpha=alpha,
    )


def passing_below(limit: float) -> float:
    """Logarithm of the ratio below which a model passes: the limit, less `SPARE` of what it allows."""
    return float(np.log(limit - SPARE * max(limit - 1, 0.0)))


def centre(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The median of the means of all pairs (Hodges and Lehmann), along the last axis: (..., n) to (...)."""
    first, second = np.triu_indices(values.shape[-1])
    return np.asarray(np.median((values[..., first] + values[..., second]) / 2, axis=-1))


def bootstrap(values: npt.NDArray[np.float64], seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of the centre of (n,) values, each of a block: blocks are resampled whole."""
    n, rng = len(values), np.random.default_rng(seed)
    centres = [float(centre(values[rng.integers(0, n, n)])) for _ in range(RESAMPLES)]
    low, high = np.percentile(centres, [2.5, 97.5])
    return float(low), float(high)


def rank_test(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """One-sided p of the signed-rank test that (n,) values lie above 0, and that they lie below."""
    from scipy.stats import wilcoxon  # here: it takes longer to load than most gates have to spare

    if not np.any(values):
        return 1.0, 1.0
    greater, less = (wilcoxon(values, alternative=side).pvalue for side in ("greater", "less"))
    return float(greater), float(less)


def reason(outcome: Outcome, n: int, least: int, told: bool, floor: float) -> str:
    """Why an outcome is what it is; `least` blocks are needed, `told` is a limit beyond the floor."""
    if outcome == "pass":
        return "the interval lies below the limit"
    if outcome == "regression":
        return "the interval lies above the limit"
    if n < least:
        return f"{n} blocks were measured in the time, and a verdict takes {least} at the least"
    if not told:
        return f"the limit lies below the noise floor of {np.expm1(floor):.1%}"
    return "the interval lies neither above the limit nor clear of it"


def as_ratio(log: float) -> float | None:
    """Of a logarithm; None where it is infinite, for nothing bounds it yet."""
    return None if np.isinf(log) else float(np.exp(log))
