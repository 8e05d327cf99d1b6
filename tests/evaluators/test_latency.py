"""Latency: rounds under a clock of our own, statistics on synthetic samples. No speed is tested."""

import gc

import numpy as np
import pytest

from recycle_pipeline.evaluators import latency, samples
from recycle_pipeline.evaluators.latency import LatencySamples, measure, ratio_of_medians
from recycle_pipeline.evaluators.samples import ratio_over_sessions
from recycle_pipeline.models.errors import UsageFault


class Clock:
    """Stands in for the module `time`: it advances only when a model says that it took some ms."""

    def __init__(self) -> None:
        self.ns = 0

    def perf_counter_ns(self) -> int:
        return self.ns

    def perf_counter(self) -> float:
        return self.ns / 1e9

    def model(self, ms):
        """A call that takes `ms` each time; from an iterator, the next of its values."""
        times = iter(lambda: ms, None) if isinstance(ms, int | float) else iter(ms)

        def run() -> None:
            self.ns += round(next(times) * 1e6)

        return run


@pytest.fixture
def clock(monkeypatch):
    fake = Clock()
    monkeypatch.setattr(latency, "time", fake)
    return fake


def test_samples_are_milliseconds_of_the_right_model(clock):
    result = measure({"a": clock.model(2), "b": clock.model(0.5)}, seconds=1, min_rounds=1, seed=0)
    assert set(result["a"].ms) == {2.0}
    assert set(result["b"].ms) == {0.5}
    assert result["a"].n == result["b"].n == 400  # 1 s of rounds of 2.5 ms


def test_every_model_runs_once_per_round_in_a_seeded_random_order():
    def order(seed):
        calls = []
        models = {name: lambda name=name: calls.append(name) for name in "abc"}
        measure(models, seconds=0, min_rounds=30, seed=seed)
        return calls

    calls = order(3)
    rounds = [tuple(calls[i : i + 3]) for i in range(0, len(calls), 3)]
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len(set(rounds)) == 6, "30 rounds should show every order of three"
    assert calls == order(3)
    assert calls != order(4)


def test_min_rounds_hold_when_the_time_is_over(clock):
    result = measure({"a": clock.model(5000)}, seconds=1, min_rounds=7, seed=0)
    assert result["a"].n == 7


def test_warm_up_ends_when_the_times_settle_and_is_thrown_away(clock):
    falling = [10 - 0.3 * i for i in range(20)]

    def times():
        yield from falling
        while True:
            yield 1.0

    result = measure({"a": clock.model(times())}, seconds=1, min_rounds=1, seed=0)["a"]
    assert result.settled
    assert result.warm_up_rounds > len(falling)
    assert set(result.ms) == {1.0}


def test_warm_up_is_bounded_for_times_that_never_settle(clock):
    times = (1.2**i for i in range(10_000))
    result = measure({"a": clock.model(times)}, seconds=0.1, min_rounds=1, seed=0)["a"]
    assert not result.settled
    before_the_last = sum(1.2**i for i in range(result.warm_up_rounds - 1))
    assert before_the_last < 50 <= before_the_last + 1.2 ** (result.warm_up_rounds - 1)  # ms, half of 0.1 s


def test_a_slow_model_warms_up_with_one_round(clock):
    result = measure({"a": clock.model(5000)}, seconds=1, min_rounds=1, seed=0)["a"]
    assert (result.warm_up_rounds, result.settled) == (1, False)


def test_the_garbage_collector_is_off_while_timing_and_on_again_after_a_failure():
    seen = []

    def run():
        seen.append(gc.isenabled())
        if len(seen) == 5:
            raise ZeroDivisionError

    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        measure({"a": run}, seconds=0, min_rounds=9, seed=0)
    assert not any(seen)
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("models", "seconds", "min_rounds"),
    [
        ({}, 1, 1),
        ({"a": int}, -1, 1),
        ({"a": int}, float("nan"), 1),
        ({"a": int}, float("inf"), 1),
        ({"a": int}, 1, 0),
    ],
)
def test_a_measurement_of_nothing_is_refused(models, seconds, min_rounds):
    with pytest.raises(UsageFault, match="expected at least one model"):
        measure(models, seconds=seconds, min_rounds=min_rounds, seed=0)


def test_median_spread_and_percentiles_are_those_of_numpy():
    ms = np.random.default_rng(0).gamma(3, 1, 700)
    result = LatencySamples(tuple(ms))
    assert result.median == np.median(ms)
    assert result.p90 == np.percentile(ms, 90)
    assert result.p99 == np.percentile(ms, 99)
    assert result.spread == pytest.approx((np.percentile(ms, 75) - np.percentile(ms, 25)) / np.median(ms))


@pytest.mark.parametrize(("n", "p90", "p99"), [(63, False, False), (64, True, False), (661, True, False)])
def test_percentiles_are_hidden_with_few_samples(n, p90, p99):
    result = LatencySamples((1.0,) * n)
    assert (result.p90 is not None, result.p99 is not None) == (p90, p99)
    assert LatencySamples((1.0,) * 662).p99 == 1.0


@pytest.mark.parametrize("ms", [(), (1.0, 0.0), (-1.0,), (float("nan"),), (float("inf"),)])
def test_samples_that_are_no_times_are_refused(ms):
    with pytest.raises(UsageFault, match=rf"{len(ms)} latency samples given"):
        LatencySamples(ms)


def pair_of(n, ratio, seed, noise=0.1):
    """Candidate and baseline of n rounds with a shared disturbance and a known ratio of medians."""
    rng = np.random.default_rng(seed)
    shared, own = rng.gamma(0.5, noise, n), rng.normal(0, noise / 10, (2, n))
    candidate, baseline = np.exp(shared + own[0]) * ratio, np.exp(shared + own[1])
    return LatencySamples(tuple(candidate)), LatencySamples(tuple(baseline))


def test_the_interval_covers_the_true_ratio_in_at_least_90_percent():
    covered = 0
    for seed in range(200):
        interval = ratio_of_medians(*pair_of(64, 1.1, seed), seed=seed, resamples=300)
        covered += interval.low <= 1.1 <= interval.high
    assert covered >= 180


def test_the_interval_narrows_with_more_rounds_and_states_them():
    few = ratio_of_medians(*pair_of(32, 1.1, 0), seed=0)
    many = ratio_of_medians(*pair_of(2048, 1.1, 0), seed=0)
    assert (few.n, many.n) == (32, 2048)
    assert many.high - many.low < (few.high - few.low) / 3
    assert many.low < many.ratio < many.high


def test_pairing_keeps_a_disturbance_that_hits_both_models_out_of_the_interval():
    candidate, baseline = pair_of(200, 1.0, 0, noise=1.0)
    shuffled = LatencySamples(tuple(np.random.default_rng(1).permutation(baseline.ms)))
    paired = ratio_of_medians(candidate, baseline, seed=0)
    unpaired = ratio_of_medians(candidate, shuffled, seed=0)
    assert paired.high - paired.low < (unpaired.high - unpaired.low) / 2


def test_the_vectorised_bootstrap_is_the_plain_loop():
    candidate, baseline = pair_of(50, 0.8, 5)
    a, b = np.array(candidate.ms), np.array(baseline.ms)
    rounds = np.random.default_rng(7).integers(0, 50, (400, 50))
    ratios = [np.median(a[i]) / np.median(b[i]) for i in rounds]
    interval = ratio_of_medians(candidate, baseline, seed=7, resamples=400)
    assert (interval.low, interval.high) == pytest.approx(tuple(np.percentile(ratios, [2.5, 97.5])))
    assert interval.ratio == np.median(a) / np.median(b)


def test_the_block_size_does_not_change_the_interval(monkeypatch):
    whole = ratio_of_medians(*pair_of(64, 1.2, 1), seed=0, resamples=100)
    monkeypatch.setattr(samples, "BLOCK", 64 * 7)
    assert ratio_of_medians(*pair_of(64, 1.2, 1), seed=0, resamples=100) == whole


def test_models_of_the_same_speed_have_one_inside_the_interval():
    interval = ratio_of_medians(*pair_of(500, 1.0, 3), seed=0)
    assert interval.low <= 1 <= interval.high


@pytest.mark.parametrize(("n", "m", "resamples"), [(20, 21, 100), (9, 9, 100), (20, 20, 0)])
def test_samples_that_make_no_interval_are_refused(n, m, resamples):
    with pytest.raises(UsageFault, match=f"{n} candidate samples, {m} baseline samples"):
        ratio_of_medians(LatencySamples((1.0,) * n), LatencySamples((1.0,) * m), 0, resamples)


def sessions_of(pairs):
    return [[LatencySamples((ms,) * 10) for ms in side] for side in zip(*pairs, strict=True)]


def test_the_interval_over_sessions_is_students_over_their_ratios():
    found = ratio_over_sessions(*sessions_of([(np.e**0, 1.0), (np.e**1, 1.0), (np.e**2, 1.0)]))
    half = 4.302652729749464 / np.sqrt(3)  # t of 0.975 with 2 degrees; deviation 1
    assert found.ratio == pytest.approx(np.e)
    assert np.log([found.low, found.high]) == pytest.approx([1 - half, 1 + half])
    assert (found.n, found.sessions) == (30, 3)


def test_sessions_that_differ_by_layout_do_not_pass_for_different_models():
    """Each of one file, each faster or slower as long as it lives: what rounds within a pair cannot show."""
    rng = np.random.default_rng(0)
    alarms = by_rounds = 0
    for seed in range(40):
        layout = np.exp(0.01 * rng.standard_normal((6, 2)))
        noisy = [[layout[i] * np.exp(0.002 * rng.standard_normal(2)) for _ in range(40)] for i in range(6)]
        pairs = [[LatencySamples(tuple(np.array(one)[:, side].tolist())) for side in (0, 1)] for one in noisy]
        found = ratio_over_sessions([pair[0] for pair in pairs], [pair[1] for pair in pairs])
        alarms += not found.low <= 1 <= found.high
        of_rounds = ratio_of_medians(*pairs[0], seed=seed, resamples=200)
        by_rounds += not of_rounds.low <= 1 <= of_rounds.high
    assert alarms <= 7 < 25 < by_rounds


@pytest.mark.parametrize("counts", [(1, 1), (2, 3)])
def test_sessions_that_are_no_pairs_are_refused(counts):
    one, other = ([LatencySamples((1.0,))] * count for count in counts)
    with pytest.raises(UsageFault, match="as many of each"):
        ratio_over_sessions(one, other)
