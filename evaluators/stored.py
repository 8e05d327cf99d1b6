"""A baseline as numbers: what a model took beside a reference, for a machine that has not got the model.

Absolute times do not travel; within one job they spread by 0.3 %, between jobs by 26 %
(namecheap/fast_mail_parser#128). What is stored is the ratio to a reference model that was timed in the same
blocks. Elsewhere the candidate is timed beside the same reference, and the two ratios are compared. That is
as good as the assumption that both machines favour the same operators alike, so the report says it.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recycle_pipeline.evaluators.blocks import Contrast
from recycle_pipeline.evaluators.sequential import fewest, interval
from recycle_pipeline.evaluators.setting import Setting
from recycle_pipeline.evaluators.slowdown import (
    RESAMPLES,
    Judgement,
    Outcome,
    as_ratio,
    centre,
    passing_below,
    reason,
)

SCHEMA, KIND = 1, "gate-baseline"


@dataclass(frozen=True)
class Stored:
    """A stored baseline.

    Attributes:
        model, reference: path, bytes and SHA-256 of each file, as they were.
        setting: how both were run.
        contrasts: of the model to the reference, by quantity, a block each.
        median_ms: of model and reference, for people.
        memory: bytes of the model, one value per process.
        machine: the processor, and ONNX Runtime's version.
        date: ISO.
    """

    model: dict[str, Any]
    reference: dict[str, Any]
    setting: Setting
    contrasts: dict[str, list[Contrast]]
    median_ms: tuple[float, float]
    memory: tuple[int, ...]
    machine: tuple[str, str]
    date: str

    def to_json(self) -> dict[str, Any]:
        """Plain types."""
        return {"schema": SCHEMA, "kind": KIND, **asdict(self)}


def judge_apart(stored: list[Contrast], here: list[Contrast], limit: float, alpha: float) -> Judgement:
    """Judges a candidate's blocks against stored ones; both are ratios to the same reference.

    As `slowdown.judge`, but for two samples: each has an interval of half the chance of error, and theirs is
    the difference; the rank test is that of Mann and Whitney (1947); both are resampled.

    Args:
        stored: the baseline's blocks, at least one.
        here: the candidate's, so far.
        limit: the largest ratio that passes, above 0.
        alpha: chance of a wrong verdict.
    """
    old, new = (np.array([each.between for each in some]) for some in (stored, here))
    ends = [interval(some.tolist(), alpha / 2) for some in (old, new)]
    noise = [interval([each.within for each in some], alpha / 2) for some in (stored, here)]
    low, high = ends[1].low - ends[0].high, ends[1].high - ends[0].low
    floor = sum(max(-each.low, each.high) for each in noise)
    wanted = float(np.log(limit))
    p_slower, p_faster = _rank_test(old + wanted, new)
    bottom, top = _bootstrap(old, new)
    told = abs(wanted) >= floor
    outcome: Outcome = "inconclusive"
    if high < passing_below(limit) and top < passing_below(limit) and p_faster <= alpha / 2 and told:
        outcome = "pass"
    elif low > wanted and bottom > wanted and p_slower <= alpha / 2 and (told or low > floor):
        outcome = "regression"
    n = min(len(old), len(new))
    return Judgement(
        outcome=outcome,
        reason=reason(outcome, n, fewest(alpha / 2), told, floor),
        limit=limit,
        ratio=float(np.exp(centre(new) - centre(old))),
        low=as_ratio(low),
        high=as_ratio(high),
        bootstrap_low=float(np.exp(bottom)),
        bootstrap_high=float(np.exp(top)),
        p_slower=p_slower,
        p_faster=p_faster,
        noise_floor=None if np.isinf(floor) else float(np.expm1(floor)),
        n=n,
        alpha=alpha,
    )


def _rank_test(old: npt.NDArray[np.float64], new: npt.NDArray[np.float64]) -> tuple[float, float]:
    from scipy.stats import mannwhitneyu

    greater, less = (mannwhitneyu(new, old, alternative=side).pvalue for side in ("greater", "less"))
    return float(greater), float(less)


def _bootstrap(old: npt.NDArray[np.float64], new: npt.NDArray[np.float64]) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    found = [
        float(centre(rng.choice(new, len(new))) - centre(rng.choice(old, len(old)))) for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)
