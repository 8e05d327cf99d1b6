"""Devices by name, on a machine without CUDA and on one with two GPUs."""

import pytest
import torch

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.device import find_device


@pytest.fixture
def gpus(monkeypatch):
    def pretend(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return pretend


@pytest.mark.parametrize(
    ("count", "name", "device"),
    [
        (0, "auto", "cpu"),
        (2, "auto", "cuda"),
        (0, "cpu", "cpu"),
        (2, "cpu", "cpu"),
        (2, "cuda", "cuda"),
        (2, "cuda:1", "cuda:1"),
    ],
)
def test_a_device_that_is_there_is_found(gpus, count, name, device):
    gpus(count)
    assert find_device(name) == torch.device(device)


@pytest.mark.parametrize(
    ("count", "name", "there"),
    [
        (0, "cuda", "this machine has none"),
        (0, "cuda:0", "this machine has none"),
        (2, "cuda:2", "this machine has cuda:0 to cuda:1"),
    ],
)
def test_a_device_that_is_not_there_is_refused_with_what_is(gpus, count, name, there):
    gpus(count)
    message = (
        f"^--device {name}: no such CUDA device, {there}; use --device cpu, or `recycle-pipeline doctor` to"
    )
    with pytest.raises(UsageFault, match=message):
        find_device(name)
