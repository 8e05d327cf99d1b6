"""When the learning rate moves, weights are reused, and the prune rate rises."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.search.settings import (
    SCHEDULES,
    check_event_numbers,
    event_number_after,
    event_number_before_step,
    learning_rate_at,
    prune_at,
    reuse_event_after,
    reuse_event_before_step,
)


def rates(settings, steps_per_epoch):
    return [learning_rate_at(settings, s, steps_per_epoch) for s in range(settings.epochs * steps_per_epoch)]


def test_without_warm_up_the_rate_starts_at_its_peak(settings_with):
    assert learning_rate_at(settings_with(learning_rate=0.3), 0, 10) == 0.3


def test_the_rate_is_half_of_the_peak_half_way_and_zero_at_the_end(settings_with):
    settings = settings_with(epochs=4, learning_rate=0.3)
    assert learning_rate_at(settings, 20, 10) == pytest.approx(0.15)
    assert learning_rate_at(settings, 40, 10) == pytest.approx(0.0, abs=1e-17)


def test_the_cosine_is_taken_per_step(settings_with):
    settings = settings_with(epochs=2, learning_rate=1.0)
    expected = [(1 + math.cos(math.pi * step / 6)) / 2 for step in range(6)]
    assert rates(settings, 3) == pytest.approx(expected, rel=1e-15)


def test_warm_up_is_linear_and_reaches_the_peak_at_its_last_step(settings_with):
    settings = settings_with(epochs=3, warmup=1.0, learning_rate=0.4)
    assert rates(settings, 4)[:5] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4])


def test_the_cosine_starts_where_the_warm_up_ends(settings_with):
    settings = settings_with(epochs=3, warmup=1.0, learning_rate=0.4)
    assert learning_rate_at(settings, 8, 4) == pytest.approx(0.2)
    assert learning_rate_at(settings, 12, 4) == pytest.approx(0.0, abs=1e-17)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_another_peak_holds_once_its_epochs_are_over_and_the_schedule_goes_on(settings_with, schedule):
    usual = settings_with(epochs=5, warmup=1.5, learning_rate=1.0, schedule=schedule)
    changed = dataclasses.replace(usual, learning_rate_after=((1, 0.5), (3, 0.25)))
    peaks = [peak for peak, epochs in ((1.0, 1), (0.5, 2), (0.25, 2)) for _ in range(4 * epochs)]
    expected = [peak * rate for peak, rate in zip(peaks, rates(usual, 4), strict=True)]
    assert rates(changed, 4) == pytest.approx(expected, rel=1e-15)


def test_the_cosine_by_epochs_holds_within_each(settings_with):
    """hidden-networks: 0.5 * (1 + cos(pi * epoch / epochs)), the epoch from 0."""
    settings = settings_with(epochs=4, learning_rate=1.0, schedule="cosine-epoch")
    expected = [(1 + math.cos(math.pi * epoch / 4)) / 2 for epoch in range(4) for _ in range(3)]
    assert rates(settings, 3) == pytest.approx(expected, rel=1e-15)


def test_the_warm_up_by_epochs_climbs_one_step_an_epoch(settings_with):
    """(epoch + 1) / warmup, then the cosine over the epochs that are left."""
    settings = settings_with(epochs=4, warmup=2.0, learning_rate=0.4, schedule="cosine-epoch")
    assert rates(settings, 2) == pytest.approx([0.2, 0.2, 0.4, 0.4, 0.4, 0.4, 0.2, 0.2])


def test_a_constant_rate_stays_at_its_peak_after_the_warm_up(settings_with):
    settings = settings_with(epochs=3, warmup=1.0, learning_rate=0.4, schedule="constant")
    assert rates(settings, 2) == pytest.approx([0.2, 0.4, 0.4, 0.4, 0.4, 0.4])


@pytest.mark.parametrize("schedule", SCHEDULES)
@given(epochs=st.integers(1, 20), steps=st.integers(1, 50), warmup=st.floats(0, 5), peak=st.floats(1e-6, 10))
def test_the_rate_never_leaves_the_range_from_zero_to_its_peak(
    settings_with, schedule, epochs, steps, warmup, peak
):
    """A warm-up may end within a step: 0.05 epochs of 23 steps are 1.15 steps."""
    settings = settings_with(epochs=epochs, warmup=warmup, learning_rate=peak, schedule=schedule)
    assert all(0 <= rate <= peak * (1 + 1e-12) for rate in rates(settings, steps))


@pytest.mark.parametrize("schedule", SCHEDULES)
@given(epochs=st.integers(1, 20), steps=st.integers(1, 50), warmup=st.integers(0, 5))
def test_the_rate_rises_once_and_falls_once(settings_with, schedule, epochs, steps, warmup):
    values = rates(settings_with(epochs=epochs, warmup=float(warmup), schedule=schedule), steps)
    top = values.index(max(values))
    assert values == sorted(values[:top]) + sorted(values[top:], reverse=True)


@pytest.mark.parametrize(
    ("epochs", "period", "events"), [(250, 10, 24), (250, 3, 82), (250, 1, 248), (200, 10, 19)]
)
@pytest.mark.parametrize("reuse", ["recycle", "rerandomize", "hybrid"])
def test_the_number_of_events_is_the_published_one(settings_with, reuse, epochs, period, events):
    settings = settings_with(reuse=reuse, epochs=epochs, reuse_period=period)
    assert sum(reuse_event_after(settings, epoch) for epoch in range(epochs)) == events


def test_events_follow_the_published_epochs(settings_with):
    settings = settings_with(reuse="recycle", epochs=250, reuse_period=10)
    assert [e for e in range(250) if reuse_event_after(settings, e)] == list(range(10, 250, 10))


@pytest.mark.parametrize("epochs", [1, 2, 3, 11])
def test_no_event_follows_the_first_or_the_last_epoch(settings_with, epochs):
    settings = settings_with(reuse="recycle", epochs=epochs, reuse_period=1)
    assert [e for e in range(epochs) if reuse_event_after(settings, e)] == list(range(1, epochs - 1))


def test_without_reuse_there_is_no_event(settings_with):
    for steps in (None, 1):
        settings = settings_with(reuse="none", epochs=50, reuse_period=1, reuse_period_steps=steps)
        assert not any(reuse_event_after(settings, epoch) for epoch in range(50))
        assert not any(reuse_event_before_step(settings, step) for step in range(50))


def test_events_by_steps_are_the_117_of_iterand(settings_with):
    """100 epochs of 352 iterations, K_per 300: before the forward when (iterations so far + 1) % 300 == 0."""
    settings = settings_with(reuse="rerandomize", epochs=100, reuse_period_steps=300)
    steps = [step for step in range(35_200) if reuse_event_before_step(settings, step)]
    assert len(steps) == 117 and steps[:2] == [299, 599] and steps[-1] == 35_099
    assert [event_number_before_step(settings, step) for step in steps] == list(range(1, 118))


def test_events_by_steps_go_on_to_the_last_step(settings_with):
    settings = settings_with(reuse="recycle", epochs=2, reuse_period_steps=5)
    assert [step for step in range(20) if reuse_event_before_step(settings, step)] == [4, 9, 14, 19]


def test_events_are_counted_in_epochs_or_in_steps_and_never_both(settings_with):
    by_epochs = settings_with(reuse="recycle", epochs=20, reuse_period=2)
    by_steps = settings_with(reuse="recycle", epochs=20, reuse_period=2, reuse_period_steps=2)
    assert not any(reuse_event_before_step(by_epochs, step) for step in range(100))
    assert not any(reuse_event_after(by_steps, epoch) for epoch in range(20))


@given(epochs=st.integers(1, 400), period=st.integers(1, 50))
def test_events_by_epochs_are_numbered_one_after_the_other(settings_with, epochs, period):
    settings = settings_with(reuse="rerandomize", epochs=epochs, reuse_period=period)
    after = [epoch for epoch in range(epochs) if reuse_event_after(settings, epoch)]
    assert [event_number_after(settings, epoch) for epoch in after] == list(range(1, len(after) + 1))


@pytest.mark.parametrize("reuse", ["rerandomize", "hybrid"])
@pytest.mark.parametrize(
    ("changes", "allowed"),
    [
        ({"epochs": 32_769, "reuse_period": 1}, True),
        ({"epochs": 32_770, "reuse_period": 1}, False),
        ({"epochs": 32_767, "reuse_period_steps": 4}, True),
        ({"epochs": 32_768, "reuse_period_steps": 4}, False),
    ],
    ids=str,
)
def test_more_draws_than_a_ticket_can_number_are_refused(settings_with, reuse, changes, allowed):
    settings = settings_with(reuse=reuse, **changes)
    if allowed:
        check_event_numbers(settings, steps_per_epoch=4)
        return
    with pytest.raises(UsageFault, match=rf"^--reuse {reuse} with --reuse-period.* makes 32768 events; "):
        check_event_numbers(settings, steps_per_epoch=4)


def test_recycling_draws_nothing_and_is_not_limited(settings_with):
    check_event_numbers(settings_with(reuse="recycle", epochs=10**6, reuse_period_steps=1), 1000)


KEPT = {
    0.2: [0.5, 0.4187, 0.3536, 0.3029, 0.2648, 0.2375, 0.2192, 0.2081, 0.2024, 0.2003, 0.2],
    0.1: [0.5, 0.3916, 0.3048, 0.2372, 0.1864, 0.15, 0.1256, 0.1108, 0.1032, 0.1004, 0.1],
    0.05: [0.5, 0.378, 0.2804, 0.2044, 0.1472, 0.1063, 0.0788, 0.0622, 0.0536, 0.0505, 0.05],
}


@pytest.mark.parametrize("keep", KEPT)
@pytest.mark.parametrize("epochs", [30, 31, 250])
def test_a_global_search_keeps_the_published_fractions(settings_with, keep, epochs):
    settings = settings_with(scope="global", prune=1 - keep, epochs=epochs)
    kept = [1 - prune_at(settings, epoch) for epoch in range(11)]
    assert kept == pytest.approx(KEPT[keep], abs=0.00005 + 1e-9)
    assert all(prune_at(settings, epoch) == 1 - keep for epoch in range(10, epochs))


@pytest.mark.parametrize(("epochs", "ramp"), [(1, 0), (2, 0), (3, 1), (12, 4), (29, 9), (30, 10)])
def test_a_short_global_search_ramps_over_its_first_third(settings_with, epochs, ramp):
    settings = settings_with(scope="global", prune=0.9, epochs=epochs)
    rates = [prune_at(settings, epoch) for epoch in range(epochs)]
    assert sum(rate < 0.9 for rate in rates) == ramp
    assert rates == sorted(rates) and rates[0] == (0.5 if ramp else 0.9)


def test_per_layer_the_asked_rate_holds_throughout(settings_with):
    settings = settings_with(scope="layer", prune=0.9, epochs=30)
    assert {prune_at(settings, epoch) for epoch in range(30)} == {0.9}


@pytest.mark.parametrize("prune", [0.3, 0.5])
def test_a_global_rate_up_to_one_half_holds_at_once(settings_with, prune):
    settings = settings_with(scope="global", prune=prune, epochs=30)
    assert {prune_at(settings, epoch) for epoch in range(30)} == {prune}
