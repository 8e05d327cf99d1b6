"""Timing on a CUDA device, with and without transfers. Skipped where there is none."""

import dataclasses

import numpy as np
import pytest

from recycle_pipeline.evaluators import blocks as module
from recycle_pipeline.evaluators.bench import bench, settings_of
from recycle_pipeline.evaluators.conditions import conditions
from recycle_pipeline.evaluators.gate import gate
from recycle_pipeline.evaluators.gate_plan import Increases, Plan
from recycle_pipeline.evaluators.providers import why_not
from recycle_pipeline.evaluators.session import open_session
from recycle_pipeline.evaluators.setting import Setting
from recycle_pipeline.evaluators.timed_call import _bound, call_of, random_images

pytestmark = pytest.mark.skipif(why_not("cuda") is not None, reason="needs a CUDA device")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_S", 0.001)
    monkeypatch.setattr(module, "WARM_UP_S", 0.01)


def test_a_bound_call_has_computed_the_logits_of_an_unbound_one(write_linear, weights):
    model = open_session(write_linear(weights), "cuda", 1)
    images = random_images(model, 3)
    call_of(model, images, "excluded")()
    binding = _bound(model, images)
    model.session.run_with_iobinding(binding)
    binding.synchronize_outputs()
    (logits,) = binding.copy_outputs_to_cpu()
    np.testing.assert_allclose(logits, model.predict(images), atol=1e-5)


@pytest.mark.parametrize("transfers", ["included", "excluded"])
def test_models_are_timed_and_the_rows_say_what_was_in_the_time(write_linear, weights, transfers):
    path = write_linear(weights)
    (row, _) = bench([path, path], settings_of([4], [1], "cuda", transfers), seconds=0)
    assert (row.setting.provider, row.setting.transfers) == ("cuda", transfers)
    assert 0 < row.median_ms.low <= row.median_ms.value <= row.median_ms.high
    assert conditions().gpus, "name, driver and clocks of the device are kept with the numbers"


def test_a_gate_on_the_device_finds_ten_thousand_times_the_work(write_linear):
    small, large = (write_linear(np.ones((48, n)), name=f"{n}.onnx") for n in (10, 2_000_000))
    plan = dataclasses.replace(Plan(seconds=120.0), setting=Setting("cuda", batch=256, transfers="excluded"))
    report = gate(small, large, Increases(slowdown=0.05), plan)
    assert (report.outcome, report.latency.speed) == ("failed", "slower")
