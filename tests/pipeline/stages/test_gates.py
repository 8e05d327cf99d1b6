"""Missed gates and damaged files: the exit code, what is still written, and no stage marked done."""

import json

import pytest

from recycle_pipeline.evaluators.providers import why_not
from recycle_pipeline.evaluators.samples import RatioInterval
from recycle_pipeline.pipeline.manifest import read_manifest

NO_CUDA = why_not("cuda") is not None
MISSED = [
    ("--min-top1", "1.0", 4, "min_top1 failed: top-1 is "),
    ("--max-difference", "0", 3, "max_difference failed: logits differ from the reference's by at most "),
]


@pytest.mark.parametrize(("option", "limit", "code", "sentence"), MISSED)
@pytest.mark.parametrize("how", ["verify", "run"])
def test_a_missed_gate_has_its_exit_code_and_leaves_report_but_no_entry(
    command, run_copy, same_run, option, limit, code, sentence, how
):
    (run_copy / "verify.json").unlink()
    line = ("verify", "mine") if how == "verify" else ("run", *same_run, "mine")
    before = read_manifest(run_copy / "manifest.json").stages
    outcome = command(*line, option, limit)
    assert outcome.code == code and "accuracy" in outcome.out  # the result is shown all the same
    assert f"\nError: {sentence}" in outcome.err and "Traceback" not in outcome.err
    report = json.loads((run_copy / "verify.json").read_text())
    name = option.removeprefix("--").replace("-", "_")
    assert not report["passed"]
    assert [v["name"] for v in report["verdicts"] if v["outcome"] == "failed"] == [name]
    if name == "max_difference":  # then onnx lies in rejected/, and no earlier verdict speaks for it
        del before["verify"]
    assert read_manifest(run_copy / "manifest.json").stages == before
    again = command(*line, option, limit)
    assert again.code == code and "verify  unchanged" not in again.err
    assert command(*line).code == 0


def test_a_missed_gate_shows_the_result_before_its_error(command, run_copy):
    as_table = command("verify", "mine", "--min-top1", "1.0", "--quiet")
    assert "in ONNX Runtime" in as_table.out and as_table.err.startswith("Error: min_top1 failed: ")
    as_json = command("verify", "mine", "--min-top1", "1.0", "--quiet", "--json")
    assert as_json.code == 4
    assert json.loads(as_json.out)["stages"]["verify"]["n"] == 364


@pytest.mark.parametrize(("low", "high", "code"), [(1.2, 1.3, 5), (0.9, 1.3, 7), (0.9, 1.05, 0)])
def test_the_latency_gate_fails_is_unsure_or_passes_by_the_interval(
    command, run_copy, monkeypatch, low, high, code
):
    """`--max-slowdown 0.1` allows a ratio of 1.1."""
    interval = RatioInterval(ratio=(low + high) / 2, low=low, high=high, n=64)
    monkeypatch.setattr("recycle_pipeline.evaluators.beside.ratio_over_sessions", lambda *a: interval)
    assert command("verify", "mine", "--max-slowdown", "0.1").code == code


@pytest.mark.skipif(not NO_CUDA, reason="the CUDA provider computes here")
def test_a_provider_that_cannot_run_is_exit_8_and_nothing_is_written(command, run_copy, tree):
    before = tree()
    outcome = command("verify", "mine", "--provider", "cuda")
    assert outcome.code == 8
    assert "Error: provider 'cuda' was asked for, but it cannot run here: " in outcome.err
    assert tree() == before


def flip(path, offset):
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "line", [("export", "mine", "--force"), ("verify", "mine"), ("reconstruct", "mine"), ("inspect", "mine")]
)
def test_a_damaged_ticket_is_exit_6_and_names_the_part(command, run_copy, tree, line):
    flip(run_copy / "ticket.safetensors", -1)  # in the last tensor
    before = tree()
    outcome = command(*line)
    assert outcome.code == 6 and outcome.out == ""
    assert "ticket.safetensors is damaged, part '" in outcome.err and "CRC-32" in outcome.err
    assert "Traceback" not in outcome.err and tree() == before


def test_a_damaged_search_is_not_packed(command, run_copy, tree):
    flip(run_copy / "search.safetensors", -1)
    before = tree()
    outcome = command("pack", "mine")
    assert outcome.code == 6 and "search.safetensors is damaged, part '" in outcome.err
    assert tree() == before


def test_a_search_whose_tensors_do_not_rebuild_is_not_packed(command, run_copy, tree):
    """As if the device had drawn other weights than numpy does."""
    from recycle_pipeline.exporters.ticket.reader import load_ticket, stored_digests
    from recycle_pipeline.exporters.ticket.writer import write_ticket

    path = run_copy / "search.safetensors"
    digests = stored_digests(path)
    write_ticket(load_ticket(path), path, digests | {"linear1.weight": digests["linear2.weight"]})
    before = tree()
    outcome = command("pack", "mine")
    assert outcome.code == 6 and "linear1.weight" in outcome.err
    assert tree() == before


def test_a_damaged_model_is_exit_6(command, run_copy):
    (run_copy / "onnx" / "model.onnx").write_bytes(b"no model")
    outcome = command("verify", "mine")
    assert outcome.code == 6 and "model.onnx" in outcome.err


@pytest.mark.parametrize("line", [("pack", "mine"), ("verify", "mine")])
def test_a_damaged_manifest_or_config_is_exit_6(command, run_copy, line):
    (run_copy / "manifest.json").write_text("{")
    outcome = command(*line)
    assert outcome.code == 6 and outcome.err.startswith("Error: mine/manifest.json is damaged (")
    (run_copy / "config.toml").write_text("arch = ")
    outcome = command(*line)
    assert outcome.code == 6 and outcome.err.startswith("Error: mine/config.toml is damaged: ")
