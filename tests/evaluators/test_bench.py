"""Rows of a bench: whose they are, what their intervals are of, and what is refused."""

import json

import numpy as np
import pytest

from recycle_pipeline.evaluators import blocks as module
from recycle_pipeline.evaluators.bench import bench, settings_of
from recycle_pipeline.evaluators.bench_report import bench_json
from recycle_pipeline.evaluators.samples import LatencySamples, spread
from recycle_pipeline.evaluators.setting import Setting
from recycle_pipeline.models.errors import UsageFault


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_S", 0.001)
    monkeypatch.setattr(module, "WARM_UP_S", 0.01)


def test_rows_are_of_each_model_under_each_setting_and_ratios_to_the_first(write_linear):
    small = write_linear(np.ones((48, 10)), name="small.onnx")
    large = write_linear(np.ones((48, 100_000)), name="large.onnx")
    rows = bench([small, large], settings_of([1, 2], [1], "cpu", "included"), seconds=0)
    assert [(row.model, row.setting.batch) for row in rows] == [
        (small, 1),
        (large, 1),
        (small, 2),
        (large, 2),
    ]
    assert [row.ratio is None for row in rows] == [True, False, True, False]
    assert rows[1].ratio.value > 3
    assert rows[1].memory > 18e6 > rows[0].memory
    assert rows[3].throughput.value == pytest.approx(2000 / rows[3].median_ms.value)
    assert rows[3].throughput.low == pytest.approx(2000 / rows[3].median_ms.high)
    found = json.loads(json.dumps(bench_json(rows, 0), allow_nan=False))
    assert found["schema"] == 1
    assert len(found["rows"][0]["samples_ms"]) == found["rows"][0]["n"] == 3 * module.FEWEST_ROUNDS
    assert found["rows"][0]["p90_ms"] is None, "48 samples carry no 90th percentile"
    assert found["conditions"]["cpu_flags"] is not None


def test_the_interval_is_students_on_logarithms():
    found = spread(np.exp(np.array([0.0, 1.0, 2.0])))
    half = 4.302652729749464 / np.sqrt(3)  # t of 0.975 with 2 degrees; deviation 1
    assert found.value == pytest.approx(np.e)
    assert np.log([found.low, found.high]) == pytest.approx([1 - half, 1 + half])


def test_one_block_bounds_nothing():
    assert np.isinf(spread(np.array([2.0])).high)


def test_faster_is_not_said_where_the_interval_includes_one(write_linear, weights):
    path = write_linear(weights)
    _, row = bench([path, path], [Setting()], seconds=0)
    told = row.ratio.low > 1 or row.ratio.high < 1
    assert (row.speed == "not told apart") == (not told)


@pytest.mark.parametrize(("n", "p95"), [(134, False), (135, True)])
def test_a_95th_percentile_needs_135_samples(n, p95):
    assert (LatencySamples((1.0,) * n).p95 is not None) == p95


def test_settings_are_every_combination():
    found = settings_of([1, 8], [1, 2], "cpu", "excluded")
    assert [(each.batch, each.threads) for each in found] == [(1, 1), (1, 2), (8, 1), (8, 2)]
    with pytest.raises(UsageFault, match="expected 1 or more"):
        settings_of([0], [1], "cpu", "included")


def test_nothing_and_files_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(UsageFault, match="0 models"):
        bench([], [Setting()], seconds=1)
    with pytest.raises(UsageFault, match="is no file"):
        bench([tmp_path / "none.onnx"], [Setting()], seconds=1)
