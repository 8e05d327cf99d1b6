"""What an earlier stage leaves behind for later ones: no file and no number may pass for another run's."""

import json
import shutil
import sys
import types

import numpy as np
import pytest

from recycle_pipeline.evaluators import machine
from recycle_pipeline.exporters.ticket.reader import load_ticket
from recycle_pipeline.pipeline.config import RunConfig
from recycle_pipeline.pipeline.data import load
from recycle_pipeline.pipeline.manifest import read_manifest
from recycle_pipeline.pipeline.run_folder import RunFolder
from recycle_pipeline.pipeline.stages import verify_subject, verify_summary
from recycle_pipeline.pipeline.stages.search import SEARCH
from recycle_pipeline.pipeline.stages.stage import Context, arch_input

STAGES = ["search", "pack", "export", "verify"]


def recorded(root):
    return list(read_manifest(root / "manifest.json").stages)


@pytest.fixture
def photo_run(command, write_photos, here):
    """A finished run on a folder of images; call it to run the same command again."""
    photos = write_photos(each=10)
    line = (
        "--arch",
        "conv2",
        "--epochs",
        "1",
        "--output-dir",
        "mine",
        "--data",
        f"folder:{photos}",
        "--quiet",
    )

    def again(name="run"):
        outcome = command(name, *line)
        assert outcome.code == 0, outcome.err
        return outcome

    again()
    return again


def test_a_search_with_another_outcome_drops_what_was_made_of_the_old_one(photo_run, write_photos, here):
    assert recorded(here / "mine") == STAGES
    write_photos(each=10, seed=1)
    assert "ONNX Runtime" not in photo_run("search").out
    assert recorded(here / "mine") == ["search"]
    assert not (here / "mine" / "verify.json").exists()


def test_the_ticket_of_an_older_search_is_not_exported(photo_run, write_photos, command):
    write_photos(each=10, seed=1)
    photo_run("search")
    for stage in ("export", "verify"):
        outcome = command(stage, "mine")
        assert outcome.code == 2 and "run `recycle-pipeline pack mine` first" in outcome.err


def test_a_search_with_the_same_outcome_drops_nothing(command, run_copy, same_run):
    assert command("search", *same_run, "mine", "--force", "search").code == 0
    assert recorded(run_copy) == STAGES and (run_copy / "verify.json").exists()


def test_another_model_drops_the_verdict_on_the_old_one(command, run_copy):
    assert command("export", "mine", "--embed-preprocessing").code == 0
    assert recorded(run_copy) == STAGES[:3] and not (run_copy / "verify.json").exists()


def test_another_model_drops_the_report_of_a_missed_gate_too(command, run_copy):
    """verify.json of a missed gate has no entry in the manifest."""
    manifest = json.loads((run_copy / "manifest.json").read_text())
    del manifest["stages"]["verify"]
    (run_copy / "manifest.json").write_text(json.dumps(manifest))
    assert command("verify", "mine", "--min-top1", "1.0").code == 4
    outcome = command("export", "mine", "--embed-preprocessing")
    assert outcome.code == 0 and "ONNX Runtime" not in outcome.out


def test_the_report_of_a_missed_gate_stays_while_the_model_is_the_same(command, run_copy):
    assert command("verify", "mine", "--min-top1", "1.0").code == 4
    report = (run_copy / "verify.json").read_bytes()
    for stage in ("pack", "export"):
        assert "ONNX Runtime" in command(stage, "mine", "--force").out
    assert (run_copy / "verify.json").read_bytes() == report


@pytest.mark.parametrize("stage", ["export", "verify"])
def test_without_a_manifest_the_ticket_of_an_older_search_is_not_taken(
    photo_run, write_photos, command, stage
):
    shutil.move("mine/manifest.json", "manifest.json")
    write_photos(each=10, seed=1)
    photo_run("search")
    outcome = command(stage, "mine")
    assert outcome.code == 2 and "run `recycle-pipeline pack mine` first" in outcome.err


def test_a_number_of_another_kind_in_the_report_is_damage(run_copy):
    report = json.loads((run_copy / "verify.json").read_text())
    assert verify_summary.read_summary(run_copy / "verify.json") == verify_summary.summary(report)
    (run_copy / "verify.json").write_text(json.dumps(report | {"n": "many"}))
    assert verify_summary.read_summary(run_copy / "verify.json") == {}


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"latency": null}'])
def test_a_damaged_report_does_not_stop_the_stages_that_do_not_read_it(command, run_copy, text):
    (run_copy / "verify.json").write_text(text)
    for stage in ("pack", "export"):
        outcome = command(stage, "mine")
        assert outcome.code == 0 and not (run_copy / "report.html").exists()
    assert command("verify", "mine").code == 0
    assert json.loads((run_copy / "verify.json").read_text())["passed"]


def test_replacing_another_run_removes_its_files_but_no_others(command, run_copy, same_run, monkeypatch):
    (run_copy / "notes.txt").write_text("mine")
    monkeypatch.setattr("recycle_pipeline.pipeline.search.loop.evaluate", interrupted)
    assert command("run", *same_run, "mine", "--seed", "3", "--force", "search").code == 130
    left = {path.relative_to(run_copy).as_posix() for path in run_copy.rglob("*") if path.is_file()}
    assert left == {"config.toml", "metrics.jsonl.partial", "notes.txt"}


def test_another_run_is_replaced_though_its_manifest_is_lost(command, run_copy, same_run, monkeypatch):
    (run_copy / "manifest.json").unlink()
    monkeypatch.setattr("recycle_pipeline.pipeline.search.loop.evaluate", interrupted)
    assert command("search", *same_run, "mine", "--seed", "3", "--force", "search").code == 130
    assert not (run_copy / "ticket.safetensors").exists()


def test_a_manifest_cannot_make_a_replaced_run_remove_files_elsewhere(command, run_copy, same_run, here):
    (here / "precious").write_text("x")
    manifest = json.loads((run_copy / "manifest.json").read_text())
    manifest["stages"]["pack"]["outputs"] |= {"../precious": "", str(here / "precious"): ""}
    (run_copy / "manifest.json").write_text(json.dumps(manifest))
    line = ("search", *same_run, "mine", "--seed", "3", "--force", "search", "--quiet")
    assert command(*line).code == 6  # one that names files outside is damaged
    assert (here / "precious").read_text() == "x"


def interrupted(*arguments):
    raise KeyboardInterrupt


@pytest.mark.parametrize("stage", ["export", "verify"])
def test_data_that_the_ticket_was_not_searched_on_is_refused(photo_run, command, here, stage):
    (here / "photos" / "c").rename(here / "photos" / "d")
    outcome = command(stage, "mine", "--force")
    assert outcome.code == 2
    assert "has 3 classes and images of 1 x 8 px; the ticket was searched on 3 classes" in outcome.err


def test_a_run_folder_can_be_used_from_another_folder(photo_run, command, here, monkeypatch):
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert command("verify", "../mine").err == "verify  unchanged, skipped\n"


def test_latency_of_another_machine_is_measured_again(command, run_copy, monkeypatch):
    import dataclasses

    assert command("verify", "mine").err == "verify  unchanged, skipped\n"
    other = dataclasses.replace(machine.describe(), cpu="another CPU")
    monkeypatch.setattr(machine, "describe", lambda: other)
    assert "skipped" not in command("verify", "mine").err


def test_a_gpu_that_onnx_runtime_cannot_use_is_said_in_the_result(command, run_copy, monkeypatch):
    monkeypatch.setattr(verify_subject, "has_gpu", lambda: True)
    reason = "CUDA cannot run here: no libcublas"
    monkeypatch.setattr("recycle_pipeline.evaluators.session.best_provider", lambda name: ("cpu", reason))
    outcome = command("verify", "mine", "--force")
    assert f"verify  note: {reason}; verified on the CPU\n" in outcome.err
    assert f"\nnote        {reason}; verified on the CPU\n" in outcome.out


def test_the_ticket_says_with_which_settings_and_data_it_was_found(finished):
    recipe = dict(load_ticket(finished.ticket).recipe)
    settings = {k: v for k, v in SEARCH.settings(finished.config).items() if v is not None}
    assert {key: recipe[key] for key in settings} == settings
    assert recipe["tool"] == "0.1.0"
    assert recipe["data_sha256"] == load("digits").digest()


@pytest.fixture
def digest_of(here):
    """The digest of a custom architecture's sources, as a new process would find it."""

    def digest(arch):
        for name in [name for name in sys.modules if name.startswith(arch.partition(":")[0])]:
            del sys.modules[name]
        config = RunConfig(arch=arch).resolve()
        return arch_input(Context(config, RunFolder(here / "mine"), import_custom=True))["arch"]

    return digest


def test_the_sources_of_an_arch_are_its_module_and_what_it_imports_beside_it(custom_module, here, digest_of):
    helper = custom_module("WIDTH = 8\n")
    arch = custom_module(f"import {helper}\ndef net(classes, channels, image_size): ...\n") + ":net"
    before = digest_of(arch)
    assert digest_of(arch) == before
    (here / f"{helper}.py").write_text("WIDTH = 9\n")
    assert digest_of(arch) != before


def test_a_driver_script_beside_the_arch_is_none_of_its_sources(custom_module, here, digest_of, monkeypatch):
    """Else run() from a script and the command line would redo each other's stages."""
    arch = custom_module() + ":net"
    before = digest_of(arch)
    driver = types.ModuleType("custom_driver")
    driver.__file__ = str(here / "driver.py")
    (here / "driver.py").write_text("from recycle_pipeline.pipeline import run\n")
    monkeypatch.setitem(sys.modules, "custom_driver", driver)
    assert digest_of(arch) == before


def test_a_helper_imported_late_is_a_source_from_the_start(custom_module, here, digest_of):
    """Else a stage in a new process would see other sources than the search did, and be redone."""
    helper = custom_module("WIDTH = 8\n")
    body = f"def net(classes, channels, image_size):\n    import {helper}\n"
    arch = custom_module(body) + ":net"
    before = digest_of(arch)
    (here / f"{helper}.py").write_text("WIDTH = 9\n")
    assert digest_of(arch) != before


def test_the_sources_of_an_arch_in_a_package_are_the_packages(here, digest_of):
    for name, body in {
        "__init__": "",
        "nets": "from .blocks import W\nnet = W\n",
        "blocks": "W = 8\n",
    }.items():
        (here / "custom_package").mkdir(exist_ok=True)
        (here / "custom_package" / f"{name}.py").write_text(body.replace("net = W", "def net(**sizes): ..."))
    before = digest_of("custom_package.nets:net")
    (here / "custom_package" / "blocks.py").write_text("W = 9\n")
    assert digest_of("custom_package.nets:net") != before
    shutil.rmtree(here / "custom_package")


def test_embedded_preprocessing_says_in_the_model_what_it_takes(command, run_copy):
    import onnx

    command("export", "mine", "--embed-preprocessing")
    model = onnx.load(run_copy / "onnx" / "model.onnx")
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert said["input"] == "uint8 (N, C, S, S) pixels; normalised inside the graph"
    assert (said["input_name"], said["output_name"], said["layout"]) == ("images", "logits", "NCHW")
    images = load("digits")
    assert np.allclose(json.loads(said["mean"]), images.mean) and json.loads(said["classes"])[9] == "9"
