"""TensorBoard on request: scalars of each epoch in the run folder; refused in time where it is missing."""

import json

import pytest

from recycle_pipeline.models.errors import PackageMissing
from recycle_pipeline.pipeline.run_folder import RunFolder
from recycle_pipeline.pipeline.tensorboard import SCALARS, ScalarLog, check_tensorboard, write_missing

event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def values(epoch, loss=0.5):
    """An epoch as metrics.jsonl has it."""
    return {
        "epoch": epoch,
        "loss": loss,
        "train_accuracy": 0.75,
        "test_accuracy": 0.5,
        "learning_rate": 0.125,
        "prune": 0.75,
        "written": 8,
        "changed": 4,
        "images_per_second": 1000.0,
        "seconds": 2.0,
    }


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path)


def read(folder):
    """Scalars by name: (step, value) pairs."""
    events = event_accumulator.EventAccumulator(str(folder.tensorboard))
    events.Reload()
    return {name: [(e.step, e.value) for e in events.Scalars(name)] for name in events.Tags()["scalars"]}


def written(folder, *epochs, **options):
    log = ScalarLog(folder, **options)
    for epoch in epochs:
        log.add(epoch)
    log.close()


def test_each_epoch_is_a_step_of_every_scalar(folder):
    written(folder, values(1), values(2, loss=0.25))
    scalars = read(folder)
    assert list(scalars) == [name for name in SCALARS if name != "accuracy/held_out"]
    assert scalars["loss"] == [(1, 0.5), (2, 0.25)]
    assert scalars["kept"] == [(1, 0.25), (2, 0.25)]


def test_the_accuracy_bears_the_name_of_what_it_was_measured_on(folder):
    held_out = {name: value for name, value in values(1).items() if name != "test_accuracy"}
    written(folder, held_out | {"held_out_accuracy": 0.625})
    scalars = read(folder)
    assert scalars["accuracy/held_out"] == [(1, 0.625)] and "accuracy/test" not in scalars


def test_a_new_search_replaces_the_scalars_of_the_old(folder):
    written(folder, values(1), values(2))
    written(folder, values(1, loss=0.125))
    assert read(folder)["loss"] == [(1, 0.125)]


def test_a_new_search_without_them_leaves_none_of_the_old(folder):
    written(folder, values(1))
    written(folder, values(1), wanted=False)
    assert folder.scalars() == []


def test_a_search_that_goes_on_gives_the_epochs_before_it_again(folder):
    written(folder, values(1), values(2), values(3))
    log = ScalarLog(folder)
    log.add(values(1), values(2, loss=0.25))
    log.add(values(3, loss=0.125))
    log.close()
    assert read(folder)["loss"] == [(1, 0.5), (2, 0.25), (3, 0.125)]


def test_a_search_done_without_them_gets_them_from_its_metrics_once(folder):
    write_missing(folder)  # no search yet
    assert folder.scalars() == []
    folder.metrics.write_text("".join(json.dumps(values(epoch)) + "\n" for epoch in (1, 2)))
    write_missing(folder)
    before = folder.scalars()
    write_missing(folder)
    assert folder.scalars() == before and read(folder)["loss"] == [(1, 0.5), (2, 0.5)]


@pytest.fixture
def without_tensorboard(monkeypatch):
    monkeypatch.setattr("recycle_pipeline.pipeline.tensorboard.installed_version", lambda name: None)


def test_where_it_is_missing_the_refusal_names_the_command(without_tensorboard):
    with pytest.raises(PackageMissing, match="`pip install tensorboard`"):
        check_tensorboard()


def test_it_is_refused_before_anything_is_searched_or_written(without_tensorboard, command, same_run, tree):
    outcome = command("run", *same_run, "mine", "--tensorboard")
    assert outcome.code == 8 and outcome.err.startswith("Error: --tensorboard needs the package tensorboard")
    assert tree() == {}


def test_the_option_names_no_other_folder_and_redoes_no_search(command, write_photos):
    line = ("search", "--arch", "conv2", "--epochs", "2", "--data", f"folder:{write_photos()}")
    plain = command(*line, "--json")
    again = command(*line, "--json", "--tensorboard")
    assert "unchanged, skipped" in again.err
    root = json.loads(again.out)["folder"]
    assert json.loads(plain.out)["folder"] == root
    (here,) = {path.parent for path in RunFolder(type(write_photos())(root)).scalars()}
    assert here.name == "tensorboard"


def test_a_search_writes_them_epoch_by_epoch(command, write_photos, here):
    line = ("search", "--arch", "conv2", "--epochs", "3", "--data", f"folder:{write_photos()}")
    assert command(*line, "--output-dir", "mine", "--tensorboard").code == 0
    folder = RunFolder(here / "mine")
    epochs = [json.loads(text) for text in folder.metrics.read_text().splitlines()]
    assert [step for step, _ in read(folder)["loss"]] == [epoch["epoch"] for epoch in epochs] == [1, 2, 3]
    assert read(folder)["loss"][-1][1] == pytest.approx(epochs[-1]["loss"])


def test_a_changed_search_clears_the_scalars_of_the_old(command, write_photos, here):
    line = ("search", "--arch", "conv2", "--data", f"folder:{write_photos()}", "--output-dir", "mine")
    command(*line, "--epochs", "2", "--tensorboard")
    assert command(*line, "--epochs", "1", "--force", "search").code == 0
    assert RunFolder(here / "mine").scalars() == []
