"""The Pareto front, against its definition."""

from hypothesis import given
from hypothesis import strategies as st

from recycle_pipeline.pipeline.report.pareto import dominates, dominators

POINTS = st.lists(st.tuples(*[st.integers(0, 5)] * 3), min_size=1, max_size=20)


@given(POINTS)
def test_on_the_front_is_what_no_point_is_better_than(points):
    found = dominators(points)
    for point, better in zip(points, found, strict=True):
        assert (better is None) == (not any(dominates(other, point) for other in points))


@given(POINTS)
def test_what_is_named_as_better_is_better_and_on_the_front_itself(points):
    found = dominators(points)
    for point, better in zip(points, found, strict=True):
        if better is not None:
            assert dominates(points[better], point) and found[better] is None


def test_equal_points_do_not_push_each_other_off():
    assert dominators([(1.0, 1.0), (1.0, 1.0), (2.0, 1.0)]) == [None, None, 0]
