"""A custom architecture that cannot be exported is refused before it is searched; others are not tried."""

import pytest

from recycle_pipeline.models.errors import RecycleError
from recycle_pipeline.pipeline import run, trial_export

BRANCHING = """
from torch import nn

class Branching(nn.Module):
    def forward(self, images):
        return images if images.sum() > 0 else -images

def net(classes, channels, image_size):
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4), Branching(), nn.Flatten(),
        nn.Linear(4 * image_size**2, classes),
    )
"""


@pytest.fixture
def branching(custom_module, write_photos):
    return (
        "--arch",
        f"{custom_module(BRANCHING)}:net",
        "--data",
        f"folder:{write_photos()}",
        "--epochs",
        "1",
    )


def test_it_is_refused_by_its_layer_before_anything_is_searched_or_written(branching, command, here):
    outcome = command("run", *branching, "--output-dir", "mine")
    assert outcome.code == 1 and not (here / "mine").exists()
    [line] = outcome.err.splitlines()
    assert line.startswith("Error: torch cannot export this network to ONNX at layer '2' (Branching): ")


def test_the_python_function_refuses_it_too(branching, here):
    arch, data = branching[1], branching[3]
    with pytest.raises(RecycleError, match=r"at layer '2' \(Branching\)"):
        run(arch=arch, data=data, epochs=1, output_dir="mine")
    assert not (here / "mine").exists()


def test_a_search_alone_exports_nothing_and_is_not_refused(branching, command):
    assert command("search", *branching).code == 0


def test_a_model_too_large_for_one_file_is_refused_before_it_is_searched(
    custom_module, write_photos, command, monkeypatch, here
):
    monkeypatch.setattr("recycle_pipeline.exporters.onnx.dense.LARGEST_FILE", 100)
    line = ("--arch", f"{custom_module()}:net", "--data", f"folder:{write_photos()}", "--output-dir", "mine")
    outcome = command("run", *line)
    assert outcome.code == 1 and "expected a smaller network" in outcome.err
    assert not (here / "mine").exists()


def test_where_the_search_is_done_or_the_network_is_ours_nothing_is_tried(
    custom_module, write_photos, command, monkeypatch
):
    line = ("run", "--arch", f"{custom_module()}:net", "--data", f"folder:{write_photos()}", "--epochs", "1")
    assert command(*line, "--output-dir", "mine").code == 0
    monkeypatch.setattr(trial_export, "_export", lambda _: pytest.fail("it was tried"))
    assert command(*line, "--output-dir", "mine").code == 0
    assert command("run", "--arch", "conv2", "--width", "0.1", "--data", "digits", "--epochs", "1").code == 0
