"""Latency at other batch sizes and thread counts, as asked for: in verify.json, shown, reported."""

import json

import pytest

from recycle_pipeline.evaluators.machine import usable_cores
from recycle_pipeline.pipeline.report import html
from recycle_pipeline.pipeline.report.collect import read_run
from recycle_pipeline.pipeline.run_folder import RunFolder
from recycle_pipeline.pipeline.stages import verify_further


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(verify_further, "SECONDS", 0.01)
    monkeypatch.setattr("recycle_pipeline.pipeline.stages.verify.LATENCY_SECONDS", 0.01)


@pytest.fixture
def verified(command, run_copy, quick):
    assert command("export", "mine", "--export", "onnx-compact,onnx-kernel").code == 0
    outcome = command("verify", "mine", "--timed-batch", "2,400", "--timed-threads", "1,2")
    assert outcome.code == 0, outcome.err
    return outcome, json.loads((run_copy / "verify.json").read_text())


def test_every_form_is_timed_at_every_setting_and_the_first_is_what_gates_judge(
    verified, run_copy, pages_without_pictures, monkeypatch
):
    monkeypatch.setattr(html, "_figures", pages_without_pictures)
    outcome, content = verified
    assert (content["latency"]["batch"], content["latency"]["threads"]) == (2, 1)
    assert content["forms"]["onnx-compact"]["latency"]["n"] >= 64
    rows = content["further_latencies"]
    assert [(r["batch"], r["threads"], r["form"], r["against"]) for r in rows] == [
        (batch, threads, form, against)
        for batch, threads in ((400, 1), (2, 2), (400, 2))  # 400: more than there are test images
        for form, against in (("onnx", "dense twin"), ("onnx-compact", "onnx"), ("onnx-kernel", "onnx"))
    ]
    for row in rows:
        ratio = row["ratio"]
        assert row["n"] >= 12 and ratio["low"] <= ratio["ratio"] <= ratio["high"]
        assert ratio["ratio"] == pytest.approx(row["median_ms"] / row["against_ms"], rel=0.5)
    assert "batch 2, 1 thread, provider cpu" in outcome.out
    assert "batch 400, 2 threads:\n" in outcome.out and " of the dense twin\n" in outcome.out

    # What was asked for is what was run.
    times = {(row["form"], row["batch"], row["threads"]): row["median_ms"] for row in rows}
    assert times["onnx", 400, 2] > 2 * times["onnx", 2, 2]
    # The report has them, and the command that asks for them.
    run = read_run(RunFolder(run_copy), "mine")
    assert "At other batch sizes and thread counts" in html.run_page(run)
    facts = run.facts
    assert len(facts.verified.latency.further) == 9
    assert facts.commands[0].endswith("--timed-batch 2,400 --timed-threads 1,2")


def test_nothing_more_is_timed_or_stored_where_nothing_is_asked(command, run_copy, quick):
    assert command("verify", "mine", "--force").code == 0
    assert "further_latencies" not in json.loads((run_copy / "verify.json").read_text())
    assert "timed" not in (run_copy / "manifest.json").read_text()


def test_verify_is_not_skipped_where_other_settings_are_asked_for(command, run_copy, quick):
    again = command("verify", "mine", "--timed-threads", "all")
    assert again.code == 0 and "verify  unchanged" not in again.err
    assert json.loads((run_copy / "verify.json").read_text())["latency"]["threads"] == usable_cores()
    assert "verify  unchanged" in command("verify", "mine", "--timed-threads", "all").err


def test_bad_counts_are_refused_and_nothing_is_written(command, run_copy, tree):
    before = tree()
    outcome = command("verify", "mine", "--timed-batch", "1,x")
    assert (outcome.code, outcome.out) == (2, "")
    assert "--timed-batch 'x': expected whole numbers, with commas between them" in outcome.err
    assert tree() == before


def test_of_model_files_nothing_is_timed_so_settings_are_refused(command, run_copy):
    outcome = command("verify", "mine/onnx/model.onnx", "--timed-batch", "2")
    assert outcome.code == 2 and "--timed-batch is for a run folder" in outcome.err
