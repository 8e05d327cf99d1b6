"""Statistics of latency samples: percentiles that their number supports, and a ratio with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recycle_pipeline.models.errors import UsageFault

# With 64, 135 and 662 samples the chance that not one lies above the true percentile is 0.9 ** 64 = 0.12 %,
# 0.95 ** 135 = 0.10 % and 0.99 ** 662 = 0.13 %; with fewer the percentile would be a guess.
P90_SAMPLES, P95_SAMPLES, P99_SAMPLES = 64, 135, 662
MIN_ROUNDS = 10  # fewer pairs do not carry a bootstrap interval of a median
BLOCK = 1 << 22  # indices per block of resamples: 32 MiB


@dataclass(frozen=True)
class LatencySamples:
    """Times of one model in milliseconds, in the order of the rounds.

    `warm_up_rounds` were run before and thrown away; `settled` says whether the times had stopped
    drifting by then, or the time for warming up ran out. `session_medians` are in ms, of each session that
    was opened for them, where there were several.
    """

    ms: tuple[float, ...]
    warm_up_rounds: int = 0
    settled: bool = True
    session_medians: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.ms or not all(0 < sample < float("inf") for sample in self.ms):
            raise UsageFault(
                f"{len(self.ms)} latency samples given; expected at least one, all above 0 ms and finite."
            )

    @property
    def n(self) -> int:
        return len(self.ms)

    @property
    def median(self) -> float:
        """In ms."""
        return float(np.median(self.ms))

    @property
    def over_sessions(self) -> "Spread | None":
        """The median, in ms, and its interval over sessions; None where there was one session alone.

        Rounds of a session share where its memory lies, so an interval over rounds would be too narrow.
        """
        return spread(np.array(self.session_medians)) if len(self.session_medians) > 1 else None

    @property
    def spread(self) -> float:
        """Interquartile range divided by the median."""
        low, high = np.percentile(self.ms, [25, 75])
        return float(high - low) / self.median

    @property
    def p90(self) -> float | None:
        """In ms; None below `P90_SAMPLES`."""
        return float(np.percentile(self.ms, 90)) if self.n >= P90_SAMPLES else None

    @property
    def p95(self) -> float | None:
        """In ms; None below `P95_SAMPLES`."""
        return float(np.percentile(self.ms, 95)) if self.n >= P95_SAMPLES else None

    @property
    def p99(self) -> float | None:
        """In ms; None below `P99_SAMPLES`."""
        return float(np.percentile(self.ms, 99)) if self.n >= P99_SAMPLES else None


@dataclass(frozen=True)
class RatioInterval:
    """Candidate's median over the baseline's, its 95 % interval, and the n rounds behind it.

    `sessions` is how often both were opened for them. Two sessions of one file differ for as long as they
    live, which no number of rounds within a pair shows.
    """

    ratio: float
    low: float
    high: float
    n: int
    sessions: int = 1


@dataclass(frozen=True)
class Spread:
    """A value and its 95 % interval over n blocks or sessions."""

    value: float
    low: float
    high: float
    n: int


def spread(values: npt.NDArray[np.float64]) -> Spread:
    """Geometric mean of (n,) positive values, and Student's 95 % interval on the scale of logarithms."""
    from scipy.stats import t  # here: it takes longer to load than all else in this module

    logs, n = np.log(values), len(values)
    half = float(t.ppf(0.975, n - 1) * logs.std(ddof=1) / np.sqrt(n)) if n > 1 else float("inf")
    middle = float(logs.mean())
    value, low, high = (float(np.exp(each)) for each in (middle, middle - half, middle + half))
    return Spread(value, low, high, n)


def ratio_over_sessions(
    candidate: Sequence[LatencySamples], baseline: Sequence[LatencySamples]
) -> RatioInterval:
    """Ratio of medians over pairs of sessions, each pair of one `measure`; Student's interval over pairs.

    Raises:
        UsageFault: fewer than two pairs, or not as many of each.
    """
    if len(candidate) != len(baseline) or len(candidate) < 2:
        raise UsageFault(
            f"{len(candidate)} sessions of the candidate and {len(baseline)} of the baseline given; expected "
            "as many of each, at least 2."
        )
    pairs = zip(candidate, baseline, strict=True)
    found = spread(np.array([one.median / other.median for one, other in pairs]))
    return RatioInterval(found.value, found.low, found.high, sum(each.n for each in candidate), found.n)


def together(parts: Sequence[LatencySamples]) -> LatencySamples:
    """The samples of several sessions as one, in order."""
    return LatencySamples(
        tuple(each for part in parts for each in part.ms),
        sum(part.warm_up_rounds for part in parts),
        all(part.settled for part in parts),
        tuple(part.median for part in parts),
    )


def ratio_of_medians(
    candidate: LatencySamples, baseline: LatencySamples, seed: int, resamples: int = 2000
) -> RatioInterval:
    """Ratio of medians with a percentile bootstrap 95 % interval (Efron, 1979).

    Whole rounds are resampled, so that a disturbance which hit both models of a round stays with both.
    Rounds are taken as independent; a drift slower than a round widens the truth, not this interval.

    Args:
        candidate: samples of one `measure`, n of them.
        baseline: samples of the same `measure`.
        seed: of the resampling.
        resamples: how many times; 2000 leaves the limits an error well below the interval's width.

    Raises:
        UsageFault: the two are not of the same rounds, or of fewer than `MIN_ROUNDS`; no resamples.
    """
    n = candidate.n
    if n != baseline.n or n < MIN_ROUNDS or resamples < 1:
        raise UsageFault(
            f"{n} candidate samples, {baseline.n} baseline samples and {resamples} resamples given; expected "
            f"both from one `measure` of at least {MIN_ROUNDS} rounds. Measure longer."
        )
    pair = np.array([candidate.ms, baseline.ms])  # (2, n)
    rng, rows = np.random.default_rng(seed), max(1, BLOCK // n)
    sizes = [min(rows, resamples - start) for start in range(0, resamples, rows)]
    ratios = np.concatenate([_resample(pair, rng, size) for size in sizes])  # (resamples,)
    low, high = np.percentile(ratios, [2.5, 97.5])
    return RatioInterval(candidate.median / baseline.median, float(low), float(high), n)


def _resample(pair: npt.NDArray[np.float64], rng: np.random.Generator, size: int) -> npt.NDArray[np.float64]:
    """Ratios of medians of `size` resamples of the rounds of `pair`, (2, n)."""
    n = pair.shape[1]
    rounds = rng.integers(0, n, (size, n))
    candidate, baseline = (np.median(times[rounds], axis=1) for times in pair)  # (size,) each
    return np.asarray(candidate / baseline)
