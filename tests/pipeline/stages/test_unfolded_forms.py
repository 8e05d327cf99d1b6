"""Packed forms where the runtime does not fold constants, or no large ones: right, slow, and said."""

from functools import partial

import numpy as np
import onnxruntime
import pytest

from recycle_pipeline.evaluators.accuracy import predict_all
from recycle_pipeline.evaluators.beside import LatencySettings
from recycle_pipeline.evaluators.gates import Limits
from recycle_pipeline.evaluators.session import open_session
from recycle_pipeline.pipeline.data import load
from recycle_pipeline.pipeline.data.prepared import normalised
from recycle_pipeline.pipeline.run_folder import RunFolder
from recycle_pipeline.pipeline.stages.verify_forms import Against, verify_forms

QUICK = LatencySettings(seconds=0.01)
PACKED = ["onnx-compact", "onnx-seed", "onnx-compact-int8"]
LIMIT = "optimization.constant_folding_max_output_size_in_bytes"


@pytest.fixture
def judged(command, run_copy):
    """Judges the packed forms of a run with more of a session's configuration; also what was warned of."""
    assert command("export", "mine", "--export", ",".join(PACKED)).code == 0
    folder, images = RunFolder(run_copy), load("digits")
    pixels = normalised(images.test_images, images.mean, images.std)

    def judge(entries):
        dense = open_session(folder.model("onnx"), "cpu", 1)
        logits = predict_all(dense.predict, pixels, 64)
        against = Against(logits, dense, dense, pixels, images.test_labels, Limits(), QUICK)
        open_ = partial(open_as, entries)
        warned = []
        judged = verify_forms(folder, PACKED, against, open_, 64, lambda name: None, warned.append)
        assert judged.unmeasured == {}
        return judged.forms, judged.verdicts, warned

    return judge


def open_as(entries, path, threads, cpu_only=False):
    return open_session(path, "cpu", threads, entries)


def test_where_constants_are_folded_nothing_is_warned_of(judged):
    found, verdicts, warned = judged({})
    assert warned == [] and all("note" not in entry for entry in found.values())
    assert found["onnx-compact"]["exact"] and found["onnx-seed"]["exact"]
    assert {verdict.outcome for verdict in verdicts} <= {"passed", "not-asked"}


@pytest.mark.parametrize("limit", ("1000", "1"))
def test_where_folding_is_limited_forms_are_right_and_called_slow(judged, limit):
    found, verdicts, warned = judged({LIMIT: limit})
    assert [text.partition(":")[0] for text in warned] == PACKED
    assert all("unpacks weights in every call" in text and "slow" in text for text in warned)
    assert {verdict.outcome for verdict in verdicts} <= {"passed", "not-asked"}
    for name in PACKED:
        assert "slow" in found[name]["note"] and "rejected" not in found[name]
        assert not found[name]["exact"]
    assert found["onnx-compact"]["max_difference"] < 1e-4


def test_where_nothing_is_optimised_they_are_right_and_called_slow_too(judged, monkeypatch):
    made = onnxruntime.SessionOptions

    def plain():
        options = made()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        return options

    monkeypatch.setattr(onnxruntime, "SessionOptions", plain)
    found, verdicts, warned = judged({})
    assert [text.partition(":")[0] for text in warned] == PACKED
    assert {verdict.outcome for verdict in verdicts} <= {"passed", "not-asked"}
    assert found["onnx-compact"]["max_difference"] < 1e-4 and not found["onnx-seed"]["exact"]


def test_a_model_says_itself_whether_it_unpacks_in_every_call(judged, run_copy):
    path = RunFolder(run_copy).model("onnx-compact")
    plain = RunFolder(run_copy).model("onnx")
    assert not open_session(path, "cpu").unpacks_in_every_call
    assert open_session(path, "cpu", None, {LIMIT: "1"}).unpacks_in_every_call
    assert not open_session(plain, "cpu", None, {LIMIT: "1"}).unpacks_in_every_call
    images = np.zeros((1, 1, 8, 8), np.float32)
    logits = [open_session(path, "cpu", 1, entries).predict(images) for entries in ({}, {LIMIT: "1"})]
    np.testing.assert_allclose(*logits, rtol=1e-5, atol=1e-5)
