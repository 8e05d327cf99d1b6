"""The word for a ratio of latencies: only what its interval allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recycle_pipeline.evaluators.speed import SAME_SPEED, speed_of


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.8, 0.9, "faster"),
        (0.97, 0.99, "faster"),
        (1.1, 1.2, "slower"),
        (0.985, 1.015, "as fast"),
        (0.5, 1.5, "not told apart"),
        (0.5, 1.001, "not told apart"),
        (0.99, 1.3, "not told apart"),
    ],
)
def test_the_word(low, high, said):
    assert speed_of(low, high) == said


@given(st.floats(0.05, 20), st.floats(1, 5))
def test_no_word_says_more_than_its_interval(low, factor):
    high = low * factor
    said = speed_of(low, high)
    assert not (low <= 1 <= high) or said in ("as fast", "not told apart")
    assert said != "as fast" or 1 - SAME_SPEED < low <= high < 1 + SAME_SPEED
