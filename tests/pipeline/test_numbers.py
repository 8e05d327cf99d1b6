"""NaN and infinity are found where they arise, and nothing is exported of them."""

import dataclasses
import importlib
import shutil

import numpy as np
import onnx
import pytest

from recycle_pipeline.exporters.onnx.dense import require_finite
from recycle_pipeline.exporters.ticket.reader import load_ticket
from recycle_pipeline.exporters.ticket.writer import write_ticket
from recycle_pipeline.models.errors import RecycleError


@pytest.fixture
def spoil(run_copy):
    """Changes the first batch-norm array of a kind in a ticket of the finished run, digests put in order."""

    def change(file, kind, value):
        subnetwork = load_ticket(run_copy / file)
        name = next(name for name in subnetwork.state if name.endswith(kind))
        array = subnetwork.state[name].copy()
        array.reshape(-1)[0] = value
        write_ticket(
            dataclasses.replace(subnetwork, state={**subnetwork.state, name: array}), run_copy / file
        )
        return name

    return change


CUSTOM = """
from torch import nn

def net(classes, channels, image_size):
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(),
        nn.Linear(8 * image_size**2, classes),
    )
"""


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Where what `run_copy` makes lies once it was made."""
    return tmp_path_factory.mktemp("kept") / "here"


@pytest.fixture
def run_copy(command, here, custom_module, kept):
    """A finished run of a network with batch norm, at `mine`; `arch` beside it names the architecture."""
    if not kept.is_dir():
        arch = f"{custom_module(CUSTOM)}:net"
        assert command("run", "--arch", arch, "--epochs", 1, "--output-dir", "mine", "--quiet").code == 0
        (here / "arch").write_text(arch)
        shutil.copytree(here, kept)
    else:
        shutil.copytree(kept, here, dirs_exist_ok=True)
        importlib.invalidate_caches()
    return here / "mine"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_statistics_that_are_not_finite_are_neither_packed_nor_exported(command, run_copy, spoil, value):
    arch = (run_copy.parent / "arch").read_text()
    name = spoil("search.safetensors", "running_var", value)
    outcome = command("pack", "mine")
    said = f"search.safetensors holds NaN or infinity in {name}; expected finite numbers"
    assert outcome.code == 6 and said in outcome.err
    spoil("ticket.safetensors", "running_mean", value)
    before = (run_copy / "onnx/model.onnx").read_bytes()
    for line in (
        ("export", "mine", "--arch", arch, "--force"),
        ("verify", "mine", "--arch", arch, "--force"),
        ("reconstruct", "mine", "--output", "weights.pt"),
        ("reconstruct", "mine", "--arch", arch, "--output", "model.onnx"),
    ):
        outcome = command(*line)
        assert outcome.code == 6 and "holds NaN or infinity in" in outcome.err, (line, outcome)
    assert (run_copy / "onnx/model.onnx").read_bytes() == before
    assert not (run_copy.parent / "weights.pt").exists() and not (run_copy.parent / "model.onnx").exists()


def test_a_ticket_whose_network_gives_nan_is_not_exported(command, run_copy, spoil):
    """A negative variance is a finite number."""
    arch = (run_copy.parent / "arch").read_text()
    spoil("ticket.safetensors", "running_var", -1.0)
    outcome = command("export", "mine", "--arch", arch, "--force")
    assert outcome.code == 1
    assert (
        "the network's logits are NaN or infinite on 364 of 364 images, and nothing is exported"
        in outcome.err
    )
    outcome = command("reconstruct", "mine", "--arch", arch, "--output", "model.onnx")
    assert outcome.code == 1 and not (run_copy.parent / "model.onnx").exists()


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_a_model_with_a_weight_that_is_not_finite_is_not_written(kind):
    weight = onnx.numpy_helper.from_array(np.array([1.0, np.inf], kind), "stem")
    graph = onnx.helper.make_graph([], "g", [], [], [weight])
    with pytest.raises(RecycleError, match="stem holds NaN or infinity"):
        require_finite(onnx.helper.make_model(graph))
