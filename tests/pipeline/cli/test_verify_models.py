"""`verify MODEL...`: a table of files, its gates, and what is refused; `verify FOLDER` is as it was."""

import json
import shutil
from xml.etree import ElementTree

import pytest


@pytest.fixture
def model(run_copy):
    return run_copy / "onnx/model.onnx"


@pytest.fixture
def stray(model, here):
    """The model where no run folder says what it is."""
    return shutil.copy(model, here / "stray.onnx")


def test_models_of_a_run_folder_are_compared_with_its_ticket_in_torch(command, model):
    done = command("verify", model, model, "--max-difference", "1e-3", "--json")
    found = json.loads(done.out)
    assert done.code == 0
    assert found["reference"].startswith("torch, from ")
    assert (found["data"], found["n"], len(found["models"])) == ("digits", 364, 2)
    row = found["models"][0]
    assert (
        row["top5"]["correct"] >= row["top1"]["correct"] == sum(each["correct"] for each in row["per_class"])
    )
    assert row["parity"]["top1_agreement"] == 1.0
    outcomes = {verdict["name"]: verdict["outcome"] for verdict in row["verdicts"]}
    assert outcomes == {"max_difference": "passed", "max_accuracy_drop": "not-asked", "min_top1": "not-asked"}


def test_a_stray_model_needs_data_and_is_its_own_reference(command, stray):
    assert "give --data" in command("verify", stray).err
    done = command("verify", stray, "--data", "digits", "--per-class")
    assert done.code == 0
    assert "the first model" in done.out and "none asked" in done.out
    assert len(done.out.splitlines()) == 14  # a heading, two of the table, eleven of the classes


def test_a_ticket_may_be_given(command, stray, run_copy):
    done = command("verify", stray, "--data", "digits", "--ticket", run_copy / "ticket.safetensors")
    assert (done.code, "torch, from" in done.out) == (0, True)


def test_a_missed_gate_leaves_with_its_code_after_the_table(command, model, here):
    done = command("verify", model, "--min-top1", "0.9999", "--junit", "j.xml")
    assert done.code == 4
    assert "min_top1 failed" in done.out
    assert str(model) in done.err
    assert ElementTree.parse(here / "j.xml").getroot().get("failures") == "1"


def test_a_config_file_gives_gates_and_options_win(command, model, here):
    (here / "gates.toml").write_text("min-top1 = 0.9999\n")
    assert command("verify", model, "--config", "gates.toml").code == 4
    assert command("verify", model, "--config", "gates.toml", "--min-top1", "0.01").code == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["MODEL", "FOLDER"], "one run folder, or files that end in .onnx"),
        (["FOLDER", "FOLDER"], "one run folder, or files that end in .onnx"),
        (["FOLDER", "--data", "digits"], "--data is for model files"),
        (["MODEL", "--max-slowdown", "0.1"], "--max-slowdown is for a run folder"),
        (["MODEL", "--min-agreement", "0.9"], "give that too"),
        (["none.onnx", "--data", "digits"], "is no file"),
        (["MODEL", "--data", "cifar"], "unknown data set"),
        (["MODEL", "--config", "none.toml"], "cannot read --config"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused_in_a_sentence(command, model, run_copy, line, message):
    names = {"MODEL": model, "FOLDER": run_copy}
    done = command("verify", *(names.get(word, word) for word in line))
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err


def test_a_folder_is_verified_as_its_stage(command, run_copy):
    done = command("verify", run_copy, "--quiet")
    assert done.code == 0
    assert done.out.startswith("kept ")
