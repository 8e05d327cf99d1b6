"""Words for numbers: nothing without its n, and never faster where the interval says otherwise."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recycle_pipeline.evaluators.speed import speed_of
from recycle_pipeline.pipeline.cli.tables import _form
from recycle_pipeline.pipeline.report.estimate import Estimate
from recycle_pipeline.pipeline.report.facts import Ratio
from recycle_pipeline.pipeline.report.tables import ratio_rows
from recycle_pipeline.pipeline.report.words import (
    NO_DIFFERENCE,
    basis,
    digits,
    full,
    percent,
    speed,
    speed_by,
)

LIMITS = st.floats(0.05, 20).flatmap(lambda low: st.tuples(st.just(low), st.floats(low, 25)))


def of(low, high, n=100):
    return Estimate((low + high) / 2, n, "rounds", low, high)


@given(LIMITS)
def test_faster_and_slower_are_never_said_of_an_interval_that_includes_1(limits):
    low, high = limits
    said = speed_by(of(low, high))
    assert said.startswith(speed(of(low, high)))
    if low <= 1 <= high:
        assert "faster" not in said and "slower" not in said
    if "faster" in said:
        assert high < 1
    if "slower" in said:
        assert low > 1


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.8, 0.9, "faster: takes 10.0% to 20.0% less time"),
        (1.1, 1.2, "slower: takes 10.0% to 20.0% more time"),
        (2.5, 3.5, "slower: takes 2.50 to 3.50 times the time"),
        (0.9, 1.1, "no difference shown"),
        (0.99, 1.01, "as fast, within 2%"),
        (1.001, 1.002, "as fast, within 2%"),
        (0.97, 0.99, "faster: takes 1.0% to 3.0% less time"),
    ],
)
def test_what_an_interval_allows_to_be_said(low, high, said):
    assert speed_by(of(low, high)) == said


def test_without_an_interval_nothing_is_said():
    assert speed_by(Estimate(0.5, 3, "rounds")) == "not judged: no interval"


def test_a_number_comes_with_its_n_and_interval():
    assert full(of(0.8, 0.9, 1234), percent) == "85.00% (95% interval 80.00% to 90.00%, n = 1,234 rounds)"


def test_a_number_without_an_interval_says_so():
    assert basis(Estimate(0.5, 1, "runs"), percent) == "n = 1 run, no interval"


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0355631, "0.0356"), (0.5, "0.500"), (1.234, "1.23"), (12.34, "12.3"), (123.4, "123"), (0.0, "0")],
)
def test_three_digits_count(value, said):
    assert digits(value) == said


@pytest.mark.parametrize(("value", "said"), [(0.1, "10.00%"), (0.0, "0.00%"), (7.2e-6, "0.00072%")])
def test_a_small_share_is_not_written_as_0(value, said):
    assert percent(value) == said


@pytest.mark.parametrize(
    ("low", "high", "share", "said"),
    [
        (1.1, 1.2, 0.25, "size only, slower"),
        (0.9, 1.1, 0.25, NO_DIFFERENCE),
        (0.3, 0.4, 0.25, "faster"),
        (1.1, 1.2, 1.571, "neither smaller nor faster; slower"),
        (0.9, 1.1, 1.002, "neither smaller nor faster"),
        (0.99, 1.01, 1.0, "neither smaller nor faster"),
        (0.3, 0.4, 1.31, "faster"),
    ],
)
def test_a_form_is_said_to_buy_what_it_buys(low, high, share, said):
    """On the page, in Markdown, and where the command prints it; `onnx` beside its twin is no such form."""
    ratios = [
        Ratio(*pair, of(low, high), 1.0, 1.0) for pair in (("onnx-int8", "onnx"), ("onnx", "dense twin"))
    ]
    latency = SimpleNamespace(latency=SimpleNamespace(ratios=ratios))
    bytes_of = {"onnx": SimpleNamespace(bytes=1000), "onnx-int8": SimpleNamespace(bytes=1000 * share)}
    form, dense = ratio_rows(SimpleNamespace(verified=latency, size=bytes_of.get))
    assert form[-1].startswith(said) and dense[-1].startswith(speed(of(low, high)))
    found = {"top1": 0.5, "max_difference": 0.1, "share_of_dense": share, "speed": speed_of(low, high)}
    found["latency_ratio"] = {"ratio": (low + high) / 2, "low": low, "high": high, "n": 10, "sessions": 1}
    short = said.partition(";")[0] if share >= 1 else said.replace(NO_DIFFERENCE, "not told apart")
    assert f"; {short} (" in _form(found, 100)


def test_of_a_form_whose_bytes_are_not_known_only_its_speed_is_said():
    ratios = [Ratio("onnx-int8", "onnx", of(1.1, 1.2), 1.0, 1.0)]
    latency = SimpleNamespace(latency=SimpleNamespace(ratios=ratios))
    [row] = ratio_rows(SimpleNamespace(verified=latency, size={}.get))
    assert row[-1].startswith("slower")
