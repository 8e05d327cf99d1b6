"""--hold-out: epochs are measured on a part of the train split, the test split is left to `verify`."""

import json
import shutil

import pytest

from recycle_pipeline.exporters.ticket.reader import load_ticket
from recycle_pipeline.pipeline.config import RunConfig
from recycle_pipeline.pipeline.data import load
from recycle_pipeline.pipeline.data.hold_out import held_out
from recycle_pipeline.pipeline.given import config_from
from recycle_pipeline.pipeline.manifest import read_manifest
from recycle_pipeline.pipeline.presets import find_preset
from recycle_pipeline.pipeline.run_folder import RunFolder
from recycle_pipeline.pipeline.runner import default_folder

LINE = ("run", "--arch", "conv2", "--epochs", "2", "--seed", "3")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """What the run of `held` said, once it was made, and where it lies for others to copy."""
    return {"folder": tmp_path_factory.mktemp("kept") / "held"}


@pytest.fixture
def held(command, here, kept):
    """A run of digits with 143 images held out."""
    if "outcome" not in kept:
        kept["outcome"] = command(*LINE, "--hold-out", "143", "--output-dir", "held")
        assert kept["outcome"].code == 0, kept["outcome"].err
        shutil.copytree(here / "held", kept["folder"])
    else:
        shutil.copytree(kept["folder"], here / "held")
    return kept["outcome"], RunFolder(here / "held")


def test_every_place_says_what_the_accuracy_was_measured_on(held):
    outcome, folder = held
    first, *epochs = outcome.err.splitlines()[:3]
    assert "digits (1290 images, 143 held out), 2 epochs" in first
    assert all("  held out " in line and "test" not in line for line in epochs)
    for line in folder.metrics.read_text().splitlines():
        assert "held_out_accuracy" in json.loads(line) and "test_accuracy" not in json.loads(line)
    stages = read_manifest(folder.manifest).stages
    facts = stages["search"].facts
    assert facts["held_out_images"] == 143 and stages["search"].config["hold_out"] == 143
    assert facts["best_held_out_accuracy"] >= facts["held_out_accuracy"] > 0
    assert not [name for name in facts if "test" in name]
    found = f"{facts['held_out_accuracy']:.2%} at the end of the search"
    assert f"held out    {found} (95 % interval " in outcome.out
    assert "%), on 143 images held out of training; a single search\n" in outcome.out


def test_verify_sees_the_test_split(held):
    outcome, folder = held
    assert read_manifest(folder.manifest).stages["verify"].facts["n"] == 364
    assert "on 364 test images" in outcome.out


def test_the_held_out_accuracy_is_that_of_the_ticket_on_those_images(held):
    import torch

    from recycle_pipeline.pipeline.api import reconstruct
    from recycle_pipeline.pipeline.data.prepared import normalised

    _, folder = held
    images = held_out(load("digits"), 143)
    network = reconstruct(folder.root)
    with torch.inference_mode():
        logits = network(torch.from_numpy(normalised(images.test_images, images.mean, images.std)))
    found = (logits.argmax(1).numpy() == images.test_labels).mean()
    assert found == read_manifest(folder.manifest).stages["search"].facts["held_out_accuracy"]


def test_the_search_does_not_see_the_test_split(command, here, monkeypatch, held):
    """Another test split, the same search."""
    import dataclasses

    images = load("digits")
    other = dataclasses.replace(images, test_images=255 - images.test_images, test_labels=images.test_labels)
    monkeypatch.setattr("recycle_pipeline.pipeline.stages.stage.load", lambda *_, **__: other)
    assert command("search", *LINE[1:], "--hold-out", "143", "--output-dir", "other").code == 0

    def found(folder):
        times = ("seconds", "images_per_second")
        lines = map(json.loads, folder.metrics.read_text().splitlines())
        return [{k: v for k, v in line.items() if k not in times} for line in lines]

    folder = RunFolder(here / "other")
    assert found(folder) == found(held[1])
    masks = [[t.mask.tobytes() for t in load_ticket(f.searched).tensors] for f in (folder, held[1])]
    assert masks[0] == masks[1]


def test_the_same_run_is_skipped_and_another_count_is_another_run(command, held, here):
    again = command("search", *LINE[1:], "--hold-out", "143", "--output-dir", "held")
    assert again.err == "search  unchanged, skipped\n"
    assert "%), on 143 images held out of training; a single search" in again.out
    other = command("search", *LINE[1:], "--output-dir", "held")
    assert other.code == 2 and "hold_out 143 there, 0 asked" in other.err


def test_by_default_nothing_is_held_out_and_no_folder_is_named_otherwise():
    plain, held = (RunConfig(hold_out=count).resolve() for count in (0, 100))
    assert default_folder(plain) == default_folder(RunConfig().resolve()) != default_folder(held)


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (-1, "--hold-out -1: expected at least 0"),
        (1433, "--hold-out 1433: digits has 1433 train images; expected 1 to 1432, for example 143, or 0"),
        (1432, "--hold-out 1432 of 1433 train images of digits leaves none of class '1' to train with"),
    ],
)
def test_a_count_that_cannot_be_is_refused_before_anything_is_written(command, tree, count, said):
    outcome = command(*LINE, "--hold-out", count)
    assert outcome.code == 2 and outcome.err.startswith(f"Error: {said}")
    assert tree() == {}


def test_a_published_figure_says_that_images_were_held_out():
    config = config_from({"preset": "biprop-resnet18", "hold_out": 5000}).resolve()
    assert find_preset("biprop-resnet18").account(config.to_dict())["changed"] == ["hold_out"]


def test_a_config_file_may_say_it(command, here):
    (here / "mine.toml").write_text("hold_out = 100\n")
    outcome = command("run", "--config", "mine.toml", "--dry-run")
    assert outcome.code == 0 and "hold_out = 100" in outcome.out
