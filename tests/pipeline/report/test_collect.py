"""Facts of run folders in every state: whole, unfinished, damaged, with missed gates."""

import json

import pytest

from recycle_pipeline.models.errors import CorruptArtefact, UsageFault
from recycle_pipeline.pipeline.report.collect import read_runs
from recycle_pipeline.pipeline.report.sizes import BOUND, DENSE_WEIGHTS, TICKET
from recycle_pipeline.pipeline.report.write import report_text


def facts(*roots):
    return [run.facts for run in read_runs(roots)]


def test_a_finished_run_is_all_there(read, finished):
    run = read.facts
    assert run.verdict.outcome == "passed" and run.missing == () and run.notes == ()
    assert run.network.kept == finished.facts("search")["kept"] == 36770
    assert run.verified.forms[0].top1.value == finished.facts("verify")["ort_accuracy"]
    assert run.verified.forms[0].top1.interval is not None
    assert run.search.accuracy.n == run.verified.torch.n == 364
    assert run.commands == ("recycle-pipeline run --arch conv2 --epochs 1",)
    assert {stage.stage for stage in run.stages} == {"search", "pack", "export", "verify"}


def test_its_sizes_are_those_of_the_files(read, finished):
    run, folder = read.facts, finished.folder
    assert run.size(DENSE_WEIGHTS).bytes == 4 * run.network.weights
    assert run.size(TICKET).bytes == folder.ticket.stat().st_size
    assert run.size("onnx").bytes == folder.model("onnx").stat().st_size
    assert run.size(BOUND).bytes == pytest.approx(
        sum(layer.bound_bytes for layer in run.network.layers), abs=1
    )


def test_where_things_lie_is_not_told(read):
    assert not {"output_dir", "data_root"} & read.facts.settings.keys()
    assert all("/" not in str(value) for value in read.facts.settings.values())


@pytest.mark.parametrize(
    ("stages", "missing"),
    [
        (("search",), ["pack", "export", "verify"]),
        (("search", "pack"), ["export", "verify"]),
        (("search", "pack", "export"), ["verify"]),
    ],
)
def test_a_run_with_stages_missing_says_which_and_what_makes_them(command, here, same_run, stages, missing):
    for stage in stages:
        assert command(stage, *(same_run if stage == "search" else ()), "mine").code == 0
    [run] = facts(here / "mine")
    assert [one.stage for one in run.missing] == missing
    assert run.missing[0].command == f"recycle-pipeline {missing[0]} mine"
    assert run.verdict.outcome == "not verified" and run.verified is None
    assert run.network is not None and run.search.finished
    assert (run.size(TICKET) is None) == ("pack" not in stages)


def test_a_search_that_was_interrupted_shows_its_epochs(run_copy):
    manifest = json.loads((run_copy / "manifest.json").read_text())
    manifest["stages"] = {}
    (run_copy / "manifest.json").write_text(json.dumps(manifest))
    (run_copy / "search.safetensors").unlink()
    (run_copy / "ticket.safetensors").unlink()
    lines = (run_copy / "metrics.jsonl").read_text()
    (run_copy / "metrics.jsonl.partial").write_text(lines + '{"epoch": 2, "lo')
    [run] = facts(run_copy)
    assert not run.search.finished and len(run.search.epochs) == 1 and run.search.accuracy is None
    assert run.missing[0].stage == "search" and "stopped after 1 of 1 epochs" in run.missing[0].what
    assert run.network is None and run.sizes == ()
    assert run.commands == ("recycle-pipeline run --arch conv2 --epochs 1",)


def test_a_missed_gate_is_a_failure_with_its_reason(command, run_copy):
    assert command("verify", "mine", "--min-top1", "1.0").code == 4
    [run] = facts(run_copy)
    assert run.verdict.outcome == "failed" and "at least 100.000% is asked for" in run.verdict.sentence
    assert run.commands == ("recycle-pipeline run --arch conv2 --epochs 1 --min-top1 1.0",)
    assert run.missing == ()


def test_gates_of_other_forms_count(run_copy, change_verify):
    gate = {"name": "max_difference", "outcome": "failed", "value": 1, "limit": 0, "sentence": "too far"}
    interval = {"ratio": 1.0, "low": 0.9, "high": 1.1, "n": 70}
    form = {
        **{"bytes": 5, "compared_with": "onnx", "max_difference": 1.0, "top1_agreement": 0.5, "top1": 0.5},
        **{"latency_ms": 1.0, "dense_ms": 1.0, "latency_ratio": interval, "verdicts": [gate]},
        "rejected": "rejected/model-sparse.onnx",
    }
    change_verify(lambda content: content["forms"].update({"onnx-sparse": form}))
    [run] = facts(run_copy)
    assert run.verdict.sentence == "1 of 3 gates failed. onnx-sparse, max_difference: too far."
    assert run.verified.forms[1].rejected


def test_a_verify_json_that_was_changed_is_noticed(run_copy, change_verify):
    change_verify(lambda content: content.update(passed=False))
    [run] = facts(run_copy)
    assert any("not the file that `verify` wrote" in note for note in run.notes)


def test_parts_that_a_later_verify_adds_or_leaves_out_are_passed_over(run_copy, change_verify):
    def edit(content):
        content["new"] = {"what": 1}
        content["accuracy"]["model"]["top5"] = 1.0
        content["latency"]["model"]["p95_ms"] = 1.0
        content["latency"]["baseline"] = content["latency"]["ratio"] = None
        del content["forms"]

    change_verify(edit)
    [run] = facts(run_copy)
    assert next(model.name for model in run.verified.latency.models) == "onnx"
    change_verify(lambda content: content.update(latency=None))
    [run] = facts(run_copy)
    assert run.verified.latency is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("verify.json", "{"),
        ("verify.json", "[]"),
        ("verify.json", '{"schema": 1}'),
        ("verify.json", '{"schema": 2}'),
        ("metrics.jsonl", "{}\n"),
        ("metrics.jsonl", "[1]\n"),
        ("metrics.jsonl", "{\n"),
        ("manifest.json", "{"),
        ("ticket.safetensors", "x"),
        ("config.toml", "="),
    ],
)
def test_what_is_damaged_is_named(run_copy, name, content):
    (run_copy / name).write_text(content)
    with pytest.raises(CorruptArtefact, match=name):
        facts(run_copy)


@pytest.mark.parametrize(
    "change",
    [
        {"forms": {"onnx-sparse": 1}},
        {"forms": 5},
        {"forms": {"onnx-sparse": {"verdicts": [{"name": "max_difference"}]}}},
        {"verdicts": [{"name": "min_top1", "sentence": "no outcome"}]},
        {"verdicts": [{"name": "max_slowdown", "outcome": "passed", "sentence": "", "limit": "fast"}]},
        {"verdicts": 7},
        {"verdicts": ["text"]},
    ],
)
def test_verdicts_and_forms_that_are_none_are_damage(run_copy, change_verify, change):
    change_verify(lambda content: content.update(change))
    with pytest.raises(CorruptArtefact, match=r"verify\.json is damaged"):
        facts(run_copy)


def change_manifest(content):
    content["stages"]["export"]["facts"]["bytes"] = {"onnx": [[]]}


def change_metrics(content):
    content["written"] = 10**30


def change_times(content):
    content["latency"]["candidate_ms"] = {"a": 1}


def change_limit(content):
    content["verdicts"] = [{"name": "max_slowdown", "outcome": "passed", "sentence": "", "limit": [1]}]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("manifest.json", change_manifest),
        ("metrics.jsonl", change_metrics),
        ("verify.json", change_times),
        ("verify.json", change_limit),
    ],
)
@pytest.mark.parametrize("form", ["html", "md", "json"])
def test_values_that_no_stage_writes_are_damage_or_shown(run_copy, name, change, form):
    """Found by benchmarks/reader_fuzz.py: tracebacks before, from wherever a value was used first."""
    path = run_copy / name
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    try:
        assert report_text([run_copy], form)
    except CorruptArtefact as fault:
        assert str(run_copy) in str(fault)


def test_damaged_values_are_said_to_be(run_copy):
    path = run_copy / "metrics.jsonl"
    content = json.loads(path.read_text())
    change_metrics(content)
    path.write_text(json.dumps(content))
    with pytest.raises(CorruptArtefact, match=r"a value that no stage writes \(OverflowError in "):
        report_text([run_copy], "html")


@pytest.mark.parametrize(
    "change",
    [
        {"bytes": 5},
        {"bytes": {"onnx": "many"}},
        {"bytes": {"onnx": float("inf")}},
        {"missing": ["onnx-sparse"]},
        {"shrinking": 5},
        {"shrinking": {"before": {"parameters": 1, "multiply_adds": 1}, "after": {}}},
        {"shrinking": {"before": None, "after": None, "difference": 0.0, "images": 1, "note": ""}},
    ],
)
def test_facts_of_an_export_that_are_none_are_damage(run_copy, change):
    manifest = json.loads((run_copy / "manifest.json").read_text())
    manifest["stages"]["export"]["facts"].update(change)
    (run_copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CorruptArtefact, match=r"manifest\.json is damaged \(export"):
        facts(run_copy)


def test_a_folder_that_is_no_run_is_refused(here):
    with pytest.raises(UsageFault, match="is not a run folder"):
        facts(here)


def test_runs_of_one_name_get_their_paths(run_copy, finished):
    one, other = facts(run_copy, finished.folder.root)
    assert {one.name, other.name} == {str(run_copy), str(finished.folder.root)}


def test_a_ticket_that_came_from_a_file_says_so(command, here, run_copy):
    assert command("reconstruct", "mine", "--output", "weights.pt").code == 0
    outcome = command(
        *("pack", "weights.pt", "--arch", "conv2", "--data", "digits", "--output-dir", "packed", "--quiet")
    )
    assert outcome.code == 0, outcome.err
    [run] = facts(here / "packed")
    assert run.search is None and [one.stage for one in run.missing] == ["export", "verify"]
    assert any("packed from a file" in note for note in run.notes)
    assert run.commands and run.commands[0].startswith("recycle-pipeline pack weights.pt")
