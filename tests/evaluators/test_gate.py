"""Gates of real models in real processes, of a size that any clock tells apart; and their refusals."""

import dataclasses
import json

import numpy as np
import pytest

from recycle_pipeline.evaluators import blocks as module
from recycle_pipeline.evaluators.footprint import Memory, memory_verdict
from recycle_pipeline.evaluators.gate import gate, gate_stored, store
from recycle_pipeline.evaluators.gate_plan import Increases, Plan
from recycle_pipeline.evaluators.gates import raise_for, under
from recycle_pipeline.evaluators.setting import Setting
from recycle_pipeline.evaluators.stored_file import read_stored
from recycle_pipeline.models.errors import (
    Inconclusive,
    LatencyRegression,
    ResourceRegression,
    UsageFault,
)

HUGE = 20.0  # an increase that no noise comes near
PLAN = Plan(seconds=120.0)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_S", 0.001)
    monkeypatch.setattr(module, "WARM_UP_S", 0.01)


@pytest.fixture
def small(write_linear):
    return write_linear(np.ones((48, 10)), name="small.onnx")


@pytest.fixture
def large(write_linear):
    return write_linear(np.ones((48, 100_000)), name="large.onnx")


def test_a_model_passes_beside_itself_and_everything_is_in_the_report(small):
    report = gate(small, small, Increases(slowdown=HUGE, size=0.0), PLAN)
    assert [(v.name, v.outcome) for v in report.verdicts] == [
        ("max_slowdown", "passed"),
        ("max_size_increase", "passed"),
    ]
    found = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert (found["schema"], found["outcome"]) == (1, "passed")
    assert len(found["blocks"]) == found["judgements"]["latency"]["n"] >= 8
    assert len(found["blocks"][0]["ns"]) == 4
    assert found["baseline"]["sha256"] == found["candidate"]["sha256"]
    raise_for(report.verdicts)


def test_a_model_of_ten_thousand_times_the_work_is_a_regression_found_in_the_fewest_blocks(small, large):
    report = gate(small, large, Increases(slowdown=0.05, size=0.0), PLAN)
    assert [v.outcome for v in report.verdicts] == ["failed", "failed"]
    assert report.latency.n == 8
    assert report.latency.speed == "slower"
    with pytest.raises(LatencyRegression, match="max_slowdown failed: "):
        raise_for(report.verdicts)
    assert LatencyRegression.exit_code == ResourceRegression.exit_code == 5


def test_a_budget_of_one_block_is_inconclusive_and_the_policy_says_what_that_is(small):
    report = gate(small, small, Increases(), dataclasses.replace(PLAN, seconds=0.001))
    assert (report.outcome, report.latency.n, report.latency.low) == ("inconclusive", 1, None)
    with pytest.raises(Inconclusive, match="1 blocks were measured in the time, and a verdict takes 8"):
        raise_for(report.verdicts)
    raise_for(under("pass", report.verdicts))
    with pytest.raises(LatencyRegression, match="inconclusive, which was asked to be a failure"):
        raise_for(under("fail", report.verdicts))
    json.dumps(report.to_json(), allow_nan=False)


def test_a_stored_baseline_is_compared_through_its_reference(small, large, tmp_path):
    stored = store(small, large, dataclasses.replace(PLAN, seconds=3.0))
    (tmp_path / "baseline.json").write_text(json.dumps(stored.to_json(), allow_nan=False))
    again = read_stored(tmp_path / "baseline.json")
    assert again == stored
    # What it says of time is tested on known numbers; here, that the numbers meet.
    report = gate_stored(
        again, large, large, Increases(slowdown=HUGE, size=0.0), dataclasses.replace(PLAN, seconds=3.0)
    )
    assert report.verdicts[1].outcome == "failed"
    assert report.latency.ratio > 2
    assert "(the same names, another job)" in report.notes[0]
    assert "reference model timed beside each" in report.notes[0]
    elsewhere = dataclasses.replace(again, machine=("Z80", "0.1"))
    report = gate_stored(elsewhere, large, small, Increases(), dataclasses.replace(PLAN, seconds=0.001))
    assert "Z80, ONNX Runtime 0.1; here" in report.notes[0]
    assert "ANOTHER PROCESSOR and ANOTHER VERSION OF ONNX RUNTIME" in report.notes[0]
    with pytest.raises(UsageFault, match="is not what the baseline was timed beside"):
        gate_stored(again, small, small, Increases(), PLAN)
    with pytest.raises(UsageFault, match="the baseline was stored with batch 1, 1 thread, provider cpu"):
        gate_stored(again, large, small, Increases(), dataclasses.replace(PLAN, setting=Setting(threads=2)))


def test_a_missing_model_is_refused_before_anything_is_measured(small, tmp_path):
    with pytest.raises(UsageFault, match="is no file"):
        gate(small, tmp_path / "none.onnx", Increases(), PLAN)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("inf"), float("nan")])
def test_a_budget_that_is_no_time_is_refused(small, seconds):
    with pytest.raises(UsageFault, match="time budget"):
        gate(small, small, Increases(), dataclasses.replace(PLAN, seconds=seconds))


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_an_increase_that_is_none_is_refused(value):
    with pytest.raises(UsageFault, match="is no increase"):
        Increases(memory=value)


@pytest.mark.parametrize(
    ("candidate", "outcome"),
    [((100, 104, 109), "passed"), ((120, 130, 140), "failed"), ((105, 111, 115), "inconclusive")],
)
def test_memory_is_judged_where_all_pairs_agree(candidate, outcome):
    assert memory_verdict(Memory((100, 100, 100), candidate), 0.10).outcome == outcome
