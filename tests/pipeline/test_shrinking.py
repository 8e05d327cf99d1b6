"""Shrinking on its way through a run: written where it is the equal, said everywhere, left out on demand.

The finished run has few channels and 90 % removed, so that some of its filters are dead.
"""

import json

import onnx
import pytest

from recycle_pipeline.exporters.onnx.shrink import Shrunk, shrink
from recycle_pipeline.pipeline import shrinking
from recycle_pipeline.pipeline.manifest import read_manifest
from recycle_pipeline.pipeline.stages.verify_summary import read_summary


def shapes(path):
    return sorted(tuple(i.dims) for i in onnx.load(path).graph.initializer if len(i.dims) > 1)


def properties(path):
    return {p.key: p.value for p in onnx.load(path).metadata_props}


@pytest.fixture
def whole(command, run_copy):
    """The copied run, exported with --no-shrink; returns its model's path."""
    assert command("export", "mine", "--no-shrink").code == 0
    return run_copy / "onnx" / "model.onnx"


def test_a_run_exports_the_shrunk_model_and_the_manifest_says_what_went(finished):
    facts = finished.facts("export")["shrinking"]
    assert facts["before"]["filters"] == 128 > facts["after"]["filters"]
    assert facts["before"]["parameters"] == 367_680 > facts["after"]["parameters"]
    assert facts["before"]["multiply_adds"] > facts["after"]["multiply_adds"]
    assert facts["note"] == "" and facts["images"] == 364
    assert 0 < facts["difference"] <= 1e-5
    said = json.loads(properties(finished.models["onnx"])["shrunk_from"])
    assert said == facts["before"]


def test_no_shrink_keeps_shapes(whole, finished, run_copy):
    assert (64, 1, 3, 3) in shapes(whole) and (64, 1, 3, 3) not in shapes(finished.models["onnx"])
    assert "shrunk_from" not in properties(whole)
    assert read_manifest(run_copy / "manifest.json").stages["export"].facts["shrinking"] is None
    assert "shrink = false" in (run_copy / "config.toml").read_text()


def test_all_but_one_word_of_the_metadata_are_those_of_the_whole_model(whole, finished):
    shrunk = properties(finished.models["onnx"])
    assert shrunk.pop("shrunk_from")
    assert shrunk == properties(whole)


def test_a_shrunk_model_is_timed_beside_the_dense_network_and_its_own_shapes(finished, command):
    latency = json.loads(finished.folder.verify.read_text())["latency"]
    assert latency["baseline"]["n"] == latency["same_shapes"]["n"] == latency["model"]["n"]
    found = read_summary(finished.folder.verify)
    assert found["same_shapes_ratio"] == latency["same_shapes_ratio"]["ratio"]


def test_the_table_says_both_ratios_and_what_went(finished, command, run_copy, same_run):
    out = command("run", *same_run, "mine").out
    assert "\n            the shrunk shapes with nothing pruned: " in out
    assert "\nshrunk      to " in out


def test_a_whole_model_has_one_twin(whole, command, run_copy):
    outcome = command("verify", "mine")
    assert outcome.code == 0
    assert "the shrunk shapes" not in outcome.out and "\nshrunk " not in outcome.out
    latency = json.loads((run_copy / "verify.json").read_text())["latency"]
    assert latency["same_shapes"] is None and latency["ratio"]["n"] == latency["model"]["n"]


def test_the_twin_of_a_shrunk_model_has_the_shapes_of_the_whole(whole, finished, tmp_path):
    from recycle_pipeline.pipeline.dense_model import write_whole_twin
    from recycle_pipeline.pipeline.rebuild import rebuild

    write_whole_twin(rebuild(finished.ticket), tmp_path / "twin.onnx", embed_preprocessing=False)
    assert shapes(tmp_path / "twin.onnx") == shapes(whole)


def test_a_shrunk_model_that_says_something_else_is_not_written(command, run_copy, whole, monkeypatch):
    """As if a rule were wrong: its last weight is."""

    def wrong(model, merge):
        found = shrink(model, merge)
        broken = onnx.ModelProto()
        broken.CopyFrom(found.model)
        last = max(broken.graph.initializer, key=lambda i: len(i.raw_data))
        last.raw_data = bytes(len(last.raw_data))
        return Shrunk(broken, found.before, found.after)

    expected = whole.read_bytes()
    monkeypatch.setattr(shrinking, "shrink", wrong)
    outcome = command("export", "mine", "--shrink")
    assert outcome.code == 0 and "export  note: not shrunk: it would change logits by " in outcome.err
    assert whole.read_bytes() == expected
    facts = read_manifest(run_copy / "manifest.json").stages["export"].facts["shrinking"]
    assert facts["note"] and facts["before"] == facts["after"]
