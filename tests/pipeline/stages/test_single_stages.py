"""pack, export and verify as commands of their own, in and out of order."""

import json
import re
import shutil

import onnx
import pytest

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.config import RunConfig
from recycle_pipeline.pipeline.manifest import read_manifest
from recycle_pipeline.pipeline.run_folder import RunFolder
from recycle_pipeline.pipeline.stages.stage import Context, input_file
from recycle_pipeline.pipeline.stages.verify_summary import summary


@pytest.fixture
def searched_only(command, run_copy):
    """The copy as `search` leaves it."""
    manifest = json.loads((run_copy / "manifest.json").read_text())
    for name in ("pack", "export", "verify"):
        del manifest["stages"][name]
    (run_copy / "manifest.json").write_text(json.dumps(manifest))
    shutil.rmtree(run_copy / "onnx")
    for name in ("ticket.safetensors", "verify.json"):
        (run_copy / name).unlink()
    return run_copy


def test_the_single_commands_in_order_make_what_run_makes(command, searched_only, finished):
    for stage in ("pack", "export", "verify"):
        assert command(stage, "mine").code == 0
    for name in ("search.safetensors", "ticket.safetensors", "onnx/model.onnx"):
        assert (searched_only / name).read_bytes() == (finished.folder.root / name).read_bytes()
    made = read_manifest(searched_only / "manifest.json").stages
    assert {name: entry.key for name, entry in made.items()} == {
        name: entry.key for name, entry in finished.stages.items()
    }


def test_run_after_search_goes_on_without_searching_again(command, searched_only, same_run):
    outcome = command("run", *same_run, "mine")
    assert outcome.code == 0 and "search  unchanged, skipped\npack    rebuild" in outcome.err


@pytest.mark.parametrize("stage", ["pack", "export", "verify"])
def test_a_finished_stage_is_skipped_unless_forced(command, run_copy, stage):
    assert command(stage, "mine").err == f"{stage:7} unchanged, skipped\n"
    forced = command(stage, "mine", "--force")
    assert forced.code == 0 and "skipped" not in forced.err and forced.err.startswith(stage)


MISSING = [
    ("search.safetensors", "pack", "search --config mine/config.toml --output-dir mine"),
    ("ticket.safetensors", "export", "pack mine"),
    ("ticket.safetensors", "verify", "pack mine"),
    ("onnx/model.onnx", "verify", "export mine"),
]


@pytest.mark.parametrize(("name", "stage", "maker"), MISSING)
def test_a_stage_before_its_input_exists_names_file_and_command(command, run_copy, tree, name, stage, maker):
    (run_copy / name).unlink()
    before = tree()
    outcome = command(stage, "mine")
    assert outcome.code == 2
    assert outcome.err == f"Error: mine/{name} is not there: run `recycle-pipeline {maker}` first\n"
    assert tree() == before


@pytest.mark.parametrize(("name", "stage", "maker"), MISSING)
def test_the_command_that_is_named_is_one_that_works(command, run_copy, name, stage, maker):
    (run_copy / name).unlink()
    named = re.search(r"`recycle-pipeline (.*)`", command(stage, "mine").err).group(1).split()
    assert command(*named).code == 0
    assert command(stage, "mine").code == 0


def test_input_file_is_the_files_digest_or_a_usage_fault(tmp_path):
    (tmp_path / "there").write_bytes(b"abc")
    context = Context(RunConfig(), RunFolder(tmp_path))
    assert input_file(context, tmp_path / "there", "pack").startswith("ba7816bf8f01cfea")
    with pytest.raises(UsageFault, match=f"is not there: run `recycle-pipeline pack {tmp_path}` first"):
        input_file(context, tmp_path / "gone", "pack")


def test_export_takes_its_options_and_config_toml_keeps_them(command, run_copy):
    assert command("export", "mine", "--embed-preprocessing").code == 0
    model = onnx.load(run_copy / "onnx" / "model.onnx")
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert "embed_preprocessing = true" in (run_copy / "config.toml").read_text()
    outcome = command("verify", "mine")
    assert outcome.code == 0 and "skipped" not in outcome.err
    assert json.loads((run_copy / "verify.json").read_text())["passed"]


def test_a_result_of_an_older_model_is_not_shown_for_the_new_one(command, run_copy):
    outcome = command("export", "mine", "--embed-preprocessing")
    assert outcome.code == 0 and "kept" in outcome.out
    assert "ONNX Runtime" not in outcome.out and "dense twin" not in outcome.out


def test_verify_takes_its_gates(command, run_copy):
    assert command("verify", "mine", "--min-top1", "0.25", "--provider", "cpu").code == 0
    assert "min_top1" not in (run_copy / "config.toml").read_text()  # a gate holds for one call
    verdicts = json.loads((run_copy / "verify.json").read_text())["verdicts"]
    assert [v["limit"] for v in verdicts if v["name"] == "min_top1"] == [0.25]


def test_a_single_stage_of_a_bad_setting_is_refused(command, run_copy, tree):
    before = tree()
    outcome = command("verify", "mine", "--min-top1", "98")
    assert (outcome.code, outcome.err) == (2, "Error: --min-top1 98: expected at least 0 and at most 1\n")
    assert tree() == before


@pytest.mark.parametrize("stage", ["pack", "export", "verify"])
def test_a_folder_that_is_no_run_is_refused(command, here, stage, tree):
    (here / "other").mkdir()
    outcome = command(stage, "other")
    assert outcome.code == 2
    assert outcome.err.startswith(
        "Error: other is not a run folder: it has no config.toml; give the folder that"
    )
    assert tree() == {"other": None}


def test_another_arch_than_the_runs_is_refused(command, run_copy):
    outcome = command("export", "mine", "--arch", "conv4")
    assert (outcome.code, outcome.err) == (2, "Error: --arch conv4 was given, but mine is a run of conv2\n")


def test_the_facts_of_the_stages_agree_with_the_files(finished):
    folder, facts = finished.folder, {name: entry.facts for name, entry in finished.stages.items()}
    assert facts["search"]["weights"] == 64 * 9 + 64 * 64 * 9 + 1024 * 256 + 256 * 256 + 2560
    assert facts["search"]["kept"] == 58 + 3687 + 26215 + 6554 + 256
    assert facts["search"]["test_images"] == 364
    assert facts["search"]["best_test_accuracy"] == facts["search"]["test_accuracy"]  # of one epoch
    assert facts["pack"]["bytes"] == folder.ticket.stat().st_size
    assert facts["pack"]["dense_bytes"] == 4 * facts["search"]["weights"]
    assert facts["pack"]["tensors"] == 5 and facts["pack"]["moved"] == 0
    assert facts["export"]["bytes"] == {"onnx": folder.model("onnx").stat().st_size}
    assert facts["verify"] == summary(json.loads(folder.verify.read_text()))
    assert facts["verify"]["torch_accuracy"] == facts["search"]["test_accuracy"]
    (record,) = map(json.loads, folder.metrics.read_text().splitlines())
    assert record["test_accuracy"] == facts["search"]["test_accuracy"]


def test_the_model_says_what_it_is(finished):
    model = onnx.load(finished.folder.model("onnx"))
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert said["ticket_sha256"] == finished.stages["pack"].outputs["ticket.safetensors"]
    assert said["kept"] == "36770/367680" and said["arch"] == "conv2" and said["subnetwork"] == "binary"
    assert said["seed"] == "0"
    assert all(0 < json.loads(said[each])[0] < 1 for each in ("mean", "std"))
    assert said["input"].startswith("float32 (N, C, S, S): (pixels / 255 - [")
