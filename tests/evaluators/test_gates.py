"""Gates: each verdict at its boundary, and the exit code and message that failures lead to."""

import math

import pytest

from recycle_pipeline.evaluators import gates
from recycle_pipeline.evaluators.gates import Limits, Verdict, raise_for
from recycle_pipeline.evaluators.samples import RatioInterval
from recycle_pipeline.models.errors import UsageFault


@pytest.mark.parametrize(
    ("gate", "value", "limit", "outcome"),
    [
        (gates.max_difference, 1e-3, 1e-3, "passed"),
        (gates.max_difference, 1.001e-3, 1e-3, "failed"),
        (gates.max_difference, 0.0, 0.0, "passed"),
        (gates.min_agreement, 0.99, 0.99, "passed"),
        (gates.min_agreement, 0.9899, 0.99, "failed"),
        (gates.max_accuracy_drop, 0.01, 0.01, "passed"),
        (gates.max_accuracy_drop, -0.2, 0.0, "passed"),
        (gates.max_accuracy_drop, 0.011, 0.01, "failed"),
        (gates.min_top1, 0.9, 0.9, "passed"),
        (gates.min_top1, 0.8999, 0.9, "failed"),
    ],
)
def test_a_limit_belongs_to_the_side_that_passes(gate, value, limit, outcome):
    verdict = gate(value, limit)
    assert (verdict.name, verdict.outcome) == (gate.__name__, outcome)
    assert (verdict.value, verdict.limit) == (value, limit)


@pytest.mark.parametrize(
    "gate", [gates.max_difference, gates.min_agreement, gates.max_accuracy_drop, gates.min_top1]
)
def test_a_value_that_is_no_number_fails(gate):
    assert gate(math.nan, 0.5).outcome == "failed"


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (0.90, 1.04, "passed"),
        (0.90, 1.05, "passed"),
        (0.90, 1.06, "inconclusive"),
        (1.05, 1.10, "inconclusive"),
        (1.06, 1.10, "failed"),
        (math.nan, math.nan, "inconclusive"),
    ],
)
def test_the_interval_decides_on_latency_and_not_its_middle(low, high, outcome):
    verdict = gates.max_slowdown(RatioInterval(1.0, low, high, 64), 1.05)
    assert verdict.outcome == outcome
    assert "n = 64" in verdict.sentence


@pytest.mark.parametrize(
    "gate",
    [gates.max_difference, gates.min_agreement, gates.max_accuracy_drop, gates.min_top1],
    ids=lambda gate: gate.__name__,
)
def test_a_gate_without_a_limit_was_not_asked(gate):
    verdict = gate(0.5, None)
    assert (verdict.outcome, verdict.value, verdict.limit) == ("not-asked", 0.5, None)


def test_latency_without_a_limit_was_not_asked_measured_or_not():
    assert gates.max_slowdown(None, None).value is None
    assert gates.max_slowdown(RatioInterval(2.0, 1.9, 2.1, 64), None).value == 2.0


def test_a_slowdown_limit_without_a_measurement_is_refused():
    with pytest.raises(UsageFault, match=r"max_slowdown 1\.05 was given without latencies"):
        gates.max_slowdown(None, 1.05)


@pytest.mark.parametrize(
    ("name", "limit", "said"),
    [
        ("max_difference", -1.0, "expected a finite number of at least 0"),
        ("max_difference", math.inf, "max_difference inf given"),
        ("max_difference", math.nan, "max_difference nan given"),
        ("min_agreement", 99, r"expected a fraction from 0 to 1\. Did you mean 0\.99\?"),
        ("max_accuracy_drop", 2, r"expected a fraction from 0 to 1\. Did you mean 0\.02\?"),
        ("max_accuracy_drop", -0.1, r"expected a fraction from 0 to 1\.$"),
        ("min_top1", 90, r"min_top1 90 given; .* Did you mean 0\.9\?"),
        ("min_top1", 900, r"expected a fraction from 0 to 1\.$"),
        ("max_slowdown", 0, r"expected a finite ratio above 0"),
        ("max_slowdown", math.nan, "max_slowdown nan given"),
    ],
)
def test_a_limit_outside_its_range_is_refused_before_and_at_the_gate(name, limit, said):
    with pytest.raises(UsageFault, match=said):
        Limits(**{name: limit})
    value = RatioInterval(1.0, 0.9, 1.1, 64) if name == "max_slowdown" else 0.5
    with pytest.raises(UsageFault, match=said):
        getattr(gates, name)(value, limit)


def test_sentences_say_value_and_limit():
    assert gates.max_difference(0.25, 0.001).sentence == (
        "logits differ from the reference's by at most 0.25; the limit is 0.001"
    )
    assert gates.max_accuracy_drop(0.02, 0.01).sentence == (
        "top-1 changed by -2.000% against the reference's; a drop of 1.000% is allowed"
    )
    assert "changed by +0.000%" in gates.max_accuracy_drop(0.0, 0.01).sentence
    assert gates.min_agreement(0.5, 0.99).sentence == (
        "50.000% of the images have the reference's logits; at least 99.000% must"
    )
    assert gates.min_top1(0.75, 0.9).sentence == "top-1 is 75.000%; at least 90.000% is asked for"
    assert gates.max_slowdown(RatioInterval(1.2, 1.1, 1.3, 80), 1.05).sentence == (
        "latency is 1.200 of the baseline's, 95 % interval 1.100 to 1.300 (n = 80 rounds); the limit is 1.050"
    )


PARITY = gates.max_difference(1.0, 1e-3)
DROP = gates.max_accuracy_drop(0.5, 0.01)
TOP1 = gates.min_top1(0.5, 0.9)
SLOW = gates.max_slowdown(RatioInterval(2.0, 1.9, 2.1, 64), 1.05)
UNSURE = gates.max_slowdown(RatioInterval(1.05, 1.0, 1.1, 64), 1.05)
GOOD = gates.max_difference(0.0, 1e-3)
QUIET = gates.min_top1(0.5, None)


@pytest.mark.parametrize(
    ("verdicts", "exit_code"),
    [
        ([SLOW, TOP1, DROP, PARITY], 3),
        ([SLOW, TOP1], 4),
        ([SLOW, DROP], 4),
        ([GOOD, SLOW], 5),
        ([GOOD, QUIET, UNSURE], 7),
        ([UNSURE, TOP1], 4),
    ],
)
def test_the_gravest_failure_decides_the_exit_code(verdicts, exit_code):
    with pytest.raises(Exception) as caught:
        raise_for(verdicts)
    assert caught.value.exit_code == exit_code


def test_nothing_is_raised_when_every_gate_passed_or_was_not_asked():
    raise_for([GOOD, QUIET])
    raise_for([])


def test_the_message_lists_every_gate_that_did_not_pass_with_what_to_do():
    with pytest.raises(Exception) as caught:
        raise_for([PARITY, GOOD, TOP1, QUIET, UNSURE])
    assert str(caught.value).splitlines() == [
        "max_difference failed: logits differ from the reference's by at most 1; the limit is 0.001. "
        "Compare layer by layer, check that batch norm is folded and both models get the same images; "
        "raise the limit only for a form that rounds, such as int8.",
        "min_top1 failed: top-1 is 50.000%; at least 90.000% is asked for. "
        "Prune less, search longer, or lower the limit.",
        "max_slowdown inconclusive: latency is 1.050 of the baseline's, 95 % interval 1.000 to 1.100 "
        "(n = 64 rounds); the limit is 1.050. Measure longer, on an idle machine with fixed threads, or move "
        "the limit out of the interval.",
    ]


def test_a_verdict_of_an_unknown_gate_cannot_pass_unnoticed():
    with pytest.raises(KeyError):
        raise_for([Verdict("max_size", "failed", 2.0, 1.0, "too large")])
