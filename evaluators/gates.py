"""Numbers and limits to verdicts, verdicts to the error that carries the exit code.

Each gate is a pure function; a limit of None means that nobody asked. A value that is NaN never passes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from recycle_pipeline.evaluators.samples import RatioInterval
from recycle_pipeline.evaluators.slowdown import Judgement
from recycle_pipeline.models.errors import (
    AccuracyFailure,
    CorruptArtefact,
    Inconclusive,
    LatencyRegression,
    ParityFailure,
    RecycleError,
    ResourceRegression,
    UnfitModel,
    UnreadableForm,
    UsageFault,
)

Outcome = Literal["passed", "failed", "inconclusive", "not-asked"]
Policy = Literal["report", "pass", "fail"]  # what "inconclusive" is to be taken as


@dataclass(frozen=True)
class Verdict:
    """What one gate says: its value and limit in the gate's unit, and a sentence for people."""

    name: str
    outcome: Outcome
    value: float | None
    limit: float | None
    sentence: str


@dataclass(frozen=True)
class Limits:
    """The limit of each gate; None leaves a gate out.

    Args:
        max_difference: largest |logit difference| to the reference. The default leaves room for kernels
            that sum fp32 in another order (1e-6 to 1e-4 on logits of order 10) and none for a layer that
            was exported wrongly. None is for models that round on purpose, such as int8.
        min_agreement: fraction of the images that must lie within `max_difference`, which then is no gate of
            its own. For networks of signs, where rounding may flip one and move logits by any amount; None
            asks for all images.
        max_accuracy_drop: top-1 that may be lost against the reference, a fraction of the images.
        min_top1: lowest top-1, a fraction.
        max_slowdown: largest ratio of median latencies, model to baseline; 1.05 allows 5 % slower.
        max_magnitude: largest |logit| that the numbers which the model computes in can hold.

    Raises:
        UsageFault: a limit outside its gate's range.
    """

    max_difference: float | None = 1e-3
    min_agreement: float | None = None
    max_accuracy_drop: float | None = None
    min_top1: float | None = None
    max_slowdown: float | None = None
    max_magnitude: float | None = None

    def __post_init__(self) -> None:
        for name, limit in vars(self).items():
            if limit is not None:  # here and not only in the gate: before minutes of measuring
                _require(name, limit)


# In the order in which a failure decides the exit code: what computes the wrong numbers need not be fast.
FAILURES: dict[str, tuple[type[RecycleError], str]] = {
    "opens": (UnreadableForm, "Export it again."),
    "gives_logits": (ParityFailure, "Export it again; if it stays so, choose another form."),
    "max_magnitude": (ParityFailure, "Export another form."),
    "max_difference": (
        ParityFailure,
        "Compare layer by layer, check that batch norm is folded and both models get the same images; "
        "raise the limit only for a form that rounds, such as int8.",
    ),
    "max_difference_told": (ParityFailure, "Export it again; if it stays so, choose another form."),
    "min_agreement": (
        ParityFailure,
        "Check that both models get the same images; rounding flips few signs, other numbers flip many.",
    ),
    "max_accuracy_drop": (AccuracyFailure, "Prune less, search longer, or raise the limit."),
    "min_top1": (AccuracyFailure, "Prune less, search longer, or lower the limit."),
    "max_slowdown": (LatencyRegression, "Export another form, or raise the limit."),
    "max_load_increase": (ResourceRegression, "Export another form, or raise the limit."),
    "max_size_increase": (ResourceRegression, "Prune more, export another form, or raise the limit."),
    "max_memory_increase": (ResourceRegression, "Export another form, or raise the limit."),
}
INCREASE_OUTCOMES: dict[str, Outcome] = {
    "pass": "passed",
    "regression": "failed",
    "inconclusive": "inconclusive",
}
UNSURE = "Measure longer, on an idle machine with fixed threads, or move the limit out of the interval."


def max_difference(value: float, limit: float | None) -> Verdict:
    """Gate on parity: `value`, the largest |logit difference|, is at most `limit`, in units of the logits.

    Raises:
        UsageFault: a limit that is negative or no number.
    """
    if limit is None:
        return _not_asked("max_difference", value)
    _require("max_difference", limit)
    sentence = f"logits differ from the reference's by at most {value:.3g}; the limit is {limit:.3g}"
    return Verdict("max_difference", _outcome(value <= limit), value, limit, sentence)


def max_difference_told(value: float | None, told: str, why: str = "") -> Verdict:
    """Gate on a form that gives the reference's very logits where a session is told so: `value` is 0.

    Args:
        value: the largest |logit difference| to the reference's; None where it gives none.
        told: what the session was, in words.
        why: it gives none.
    """
    found = why if value is None else f"logits differ from the reference's by at most {value:.3g}"
    passed = value is not None and value <= 0
    return Verdict(
        "max_difference_told", _outcome(passed), value, 0.0, f"with {told} {found}; the limit is 0"
    )


def min_agreement(value: float, limit: float | None) -> Verdict:
    """Gate on parity: `value`, the share of images within the tolerance, is at least `limit`; fractions.

    Raises:
        UsageFault: a limit outside [0, 1].
    """
    if limit is None:
        return _not_asked("min_agreement", value)
    _require("min_agreement", limit)
    sentence = f"{value:.3%} of the images have the reference's logits; at least {limit:.3%} must"
    return Verdict("min_agreement", _outcome(value >= limit), value, limit, sentence)


def max_accuracy_drop(value: float, limit: float | None, basis: str = "") -> Verdict:
    """Gate on accuracy: `value`, reference's top-1 minus the model's, is at most `limit`; both fractions.

    It is of the images at hand: their interval is said, as `basis` has it with their n, and decides nothing.

    Raises:
        UsageFault: a limit outside [0, 1].
    """
    if limit is None:
        return _not_asked("max_accuracy_drop", value)
    _require("max_accuracy_drop", limit)
    changed = f"top-1 changed by {0 - value:+.3%} against the reference's{f' ({basis})' if basis else ''}"
    sentence = f"{changed}; a drop of {limit:.3%} is allowed"
    return Verdict("max_accuracy_drop", _outcome(value <= limit), value, limit, sentence)


def min_top1(value: float, limit: float | None, basis: str = "") -> Verdict:
    """Gate on accuracy: `value`, the model's top-1, is at least `limit`; both fractions; `basis` as above.

    Raises:
        UsageFault: a limit outside [0, 1].
    """
    if limit is None:
        return _not_asked("min_top1", value)
    _require("min_top1", limit)
    sentence = f"top-1 is {value:.3%}{f' ({basis})' if basis else ''}; at least {limit:.3%} is asked for"
    return Verdict("min_top1", _outcome(value >= limit), value, limit, sentence)


def max_slowdown(ratio: RatioInterval | None, limit: float | None) -> Verdict:
    """Gate on latency: the 95 % interval of median model / median baseline lies at or below `limit`.

    Failed if the whole interval lies above the limit, inconclusive if the limit lies inside.

    Raises:
        UsageFault: a limit that is not above 0, or a limit without a ratio to judge.
    """
    if limit is None:
        return _not_asked("max_slowdown", ratio.ratio if ratio else None)
    _require("max_slowdown", limit)
    if ratio is None:
        raise UsageFault(
            f"max_slowdown {limit:g} was given without latencies to judge; expected a measured model and a "
            "baseline. Give a baseline, or leave the limit out."
        )
    outcome: Outcome = "inconclusive"
    if ratio.high <= limit or ratio.low > limit:
        outcome = _outcome(ratio.high <= limit)
    pairs = f" in {ratio.sessions} pairs of sessions, over which it is" if ratio.sessions > 1 else ""
    over = f"n = {ratio.n:,} rounds{pairs}"
    sentence = (
        f"latency is {ratio.ratio:.3f} of the baseline's, 95 % interval {ratio.low:.3f} to {ratio.high:.3f} "
        f"({over}); the limit is {limit:.3f}"
    )
    return Verdict("max_slowdown", outcome, ratio.ratio, limit, sentence)


def max_magnitude(value: float, limit: float) -> Verdict:
    """Gate on range: `value`, the largest |logit|, is at most `limit`, the largest that its numbers hold."""
    sentence = f"logits reach {value:.6g}; numbers of this form end at {limit:.6g}"
    return Verdict("max_magnitude", _outcome(value <= limit), value, limit, sentence)


def refusal(error: RecycleError) -> Verdict:
    """The verdict on a model that could not be measured, from the error that says why.

    Raises:
        RecycleError: the error itself, where it is not the model's fault, as of a provider that is not there.
    """
    if not isinstance(error, CorruptArtefact | UnfitModel):
        raise error
    name = "opens" if isinstance(error, CorruptArtefact) else "gives_logits"
    return Verdict(name, "failed", None, None, str(error).rstrip("."))


def max_increase(name: str, found: Judgement) -> Verdict:
    """Gate on what was measured block by block: latency or load time, candidate over baseline."""
    outcome = INCREASE_OUTCOMES[found.outcome]
    low, high = ("none" if end is None else f"{end:.4f}" for end in (found.low, found.high))
    sure = 100 * (1 - found.alpha)
    floor = "not known" if found.noise_floor is None else f"{found.noise_floor:.2%}"
    sentence = (
        f"{found.ratio:.4f} of the baseline's, {sure:.4g} % interval {low} to {high}, "
        f"95 % bootstrap interval {found.bootstrap_low:.4f} to {found.bootstrap_high:.4f}, "
        f"n = {found.n} blocks, noise floor {floor}; the limit is {found.limit:.4f}: {found.reason}"
    )
    return Verdict(name, outcome, found.ratio, found.limit, sentence)


def max_size_increase(baseline: int, candidate: int, increase: float) -> Verdict:
    """Gate on bytes: the candidate's are at most 1 + `increase` times the baseline's."""
    ratio, limit = candidate / max(baseline, 1), 1 + increase
    sentence = f"{candidate:,} bytes, {ratio:.4f} of the baseline's {baseline:,}; the limit is {limit:.4f}"
    return Verdict("max_size_increase", _outcome(candidate <= limit * baseline), ratio, limit, sentence)


def under(policy: Policy, verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """Verdicts as a policy takes those that could not be reached."""
    if policy == "report":
        return tuple(verdicts)
    outcome: Outcome = "passed" if policy == "pass" else "failed"
    word = "pass" if policy == "pass" else "failure"
    return tuple(
        replace(v, outcome=outcome, sentence=f"{v.sentence}; inconclusive, which was asked to be a {word}")
        if v.outcome == "inconclusive"
        else v
        for v in verdicts
    )


def raise_for(verdicts: Sequence[Verdict]) -> None:
    """Raise if a gate failed or could not decide; the message lists all of them with what to do.

    Raises:
        UnreadableForm, ParityFailure, AccuracyFailure, LatencyRegression, ResourceRegression: the first of
            these with a failed gate.
        Inconclusive: no gate failed, but one could not decide.
    """
    open_ = [v for v in verdicts if v.outcome in ("failed", "inconclusive")]
    if not open_:
        return
    lines = [f"{v.name} {v.outcome}: {v.sentence}. {_advice(v)}" for v in open_]
    failed = {v.name for v in open_ if v.outcome == "failed"}
    kind = next((error for name, (error, _) in FAILURES.items() if name in failed), Inconclusive)
    raise kind("\n".join(lines))


def _advice(verdict: Verdict) -> str:
    return FAILURES[verdict.name][1] if verdict.outcome == "failed" else UNSURE


def _outcome(passed: bool) -> Outcome:
    return "passed" if passed else "failed"


def _not_asked(name: str, value: float | None) -> Verdict:
    return Verdict(name, "not-asked", value, None, "no limit was given")


def _require(name: str, limit: float) -> None:
    """Refuse a limit outside its gate's range, NaN and infinity included."""
    wanted, fits = {
        "max_difference": ("a finite number of at least 0", 0 <= limit < float("inf")),
        "max_slowdown": ("a finite ratio above 0 (1.05 allows 5 % slower)", 0 < limit < float("inf")),
        "max_magnitude": ("a finite number above 0", 0 < limit < float("inf")),
    }.get(name, ("a fraction from 0 to 1", 0 <= limit <= 1))
    if not fits:
        hint = f" Did you mean {limit / 100:g}?" if "fraction" in wanted and 1 < limit <= 100 else ""
        raise UsageFault(f"{name} {limit:g} given; expected {wanted}.{hint}")
