"""One word for many gates: the worst of them."""

import pytest

from recycle_pipeline.pipeline.report.facts import Gate
from recycle_pipeline.pipeline.report.verdict import outcome_of, verdict_of


def gates(*outcomes):
    return [Gate("onnx", f"gate{i}", outcome, f"sentence {i}") for i, outcome in enumerate(outcomes)]


@pytest.mark.parametrize(
    ("outcomes", "worst"),
    [
        (("passed", "passed"), "passed"),
        (("passed", "inconclusive"), "inconclusive"),
        (("inconclusive", "failed", "passed"), "failed"),
        (("passed", "something new"), "inconclusive"),
        ((), "not gated"),
    ],
)
def test_the_worst_decides(outcomes, worst):
    assert outcome_of(gates(*outcomes)) == verdict_of(gates(*outcomes)).outcome == worst


def test_a_failure_says_which_gate_and_why():
    sentence = verdict_of(gates("passed", "failed")).sentence
    assert sentence == "1 of 2 gates failed. onnx, gate1: sentence 1."


def test_without_verification_nothing_has_passed():
    assert verdict_of(None).outcome == "not verified"
