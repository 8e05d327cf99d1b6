"""The forms of `--export` from the command to the verdict: made, compared with `onnx`, rejected."""

import dataclasses
import json
import shutil

import numpy as np
import onnx
import pytest
from jsonschema import Draft202012Validator
from onnx import numpy_helper

from recycle_pipeline.evaluators.session import OnnxModel, open_session
from recycle_pipeline.models.errors import CorruptArtefact, ProviderUnavailable
from recycle_pipeline.models.kernel_library import find_library
from recycle_pipeline.pipeline.forms import FORMS, wanted_forms
from recycle_pipeline.pipeline.manifest import read_manifest
from recycle_pipeline.pipeline.report import html
from recycle_pipeline.pipeline.report.collect import read_runs
from recycle_pipeline.pipeline.report.comparison import compare
from recycle_pipeline.pipeline.report.html import run_page
from recycle_pipeline.pipeline.reporter import Silent
from recycle_pipeline.pipeline.run_folder import RunFolder
from recycle_pipeline.pipeline.runner import execute, plan_stage
from recycle_pipeline.pipeline.schemas import schema
from recycle_pipeline.pipeline.stages import verify_told
from recycle_pipeline.pipeline.stages.verify_subject import opened_subject

NO_KERNELS = set() if find_library() else {"onnx-kernel", "onnx-kernel-fp32"}  # where there is no compiler


class Other(OnnxModel):
    """A model under another provider, whose sums have another order."""

    def predict(self, images):
        return super().predict(images) * np.float32(1 + 1e-6)


def other(model):
    return Other(**{each.name: getattr(model, each.name) for each in dataclasses.fields(model)})


@pytest.fixture(scope="module")
def exported_once(finished, tmp_path_factory):
    """A copy of the finished run after `export --export all` and `verify`."""
    root = shutil.copytree(finished.folder.root, tmp_path_factory.mktemp("forms") / "mine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recycle_pipeline.pipeline.stages.verify.LATENCY_SECONDS", 0.0)
        for stage, changes in (("export", {"export": ("all",)}), ("verify", {})):
            execute(plan_stage(root, stage, changes, Silent(), arch=None, force=False))
    return root


@pytest.fixture
def all_forms(command, exported_once, run_copy):
    """What `verify` says of a copy of it, which takes the place of `run_copy`."""
    shutil.rmtree(run_copy)
    shutil.copytree(exported_once, run_copy)
    outcome = command("verify", "mine", "--json")
    assert outcome.code == 0 and "verify  unchanged, skipped" in outcome.err
    return json.loads(outcome.out)


def test_every_form_is_written_and_judged_beside_onnx(all_forms, run_copy):
    folder, found = RunFolder(run_copy), all_forms["stages"]["verify"]["forms"]
    assert set(found) == set(FORMS) - {"onnx"} - NO_KERNELS
    dense = folder.model("onnx").stat().st_size
    for name, entry in found.items():
        size = folder.model(name).stat().st_size
        assert (entry["bytes"], entry["share_of_dense"]) == (size, size / dense)
        assert entry["share_of_dense"] < 0.6
        assert entry["latency_ratio"]["low"] <= entry["latency_ratio"]["high"]
        assert {verdict["outcome"] for verdict in entry["verdicts"]} <= {"passed", "not-asked"}
        if FORMS[name].exact:
            assert entry["exact"]
            assert entry["max_difference"] == 0.0 and entry["top1_agreement"] == 1.0
    assert found["onnx-int2"]["exact_told"] == {
        "told": "session.disable_quant_qdq = 1",
        "max_difference": 0.0,
    }
    assert not folder.rejected.exists()


def test_a_form_that_is_exact_only_as_onnxruntime_rounds_is_not_taken_at_its_word(
    command, exported_once, run_copy, monkeypatch
):
    """Told what should give the logits of `onnx`, it gives others: moved away, with the reason."""
    shutil.rmtree(run_copy)
    shutil.copytree(exported_once, run_copy)

    def open_(provider, path, threads, cpu_only=False, entries=None):
        found = open_session(path, "cpu", threads, entries)
        return other(found) if entries else found

    monkeypatch.setattr("recycle_pipeline.pipeline.stages.verify._opened", open_)
    monkeypatch.setattr("recycle_pipeline.pipeline.stages.verify.LATENCY_SECONDS", 0.0)
    outcome = command("verify", "mine", "--force")
    assert outcome.code == 3
    assert "onnx-int2: with session.disable_quant_qdq = 1 logits differ" in outcome.err
    assert "the limit is 0" in (run_copy / "rejected/model-int2.txt").read_text()


@pytest.fixture
def told(exported_once):
    """What is judged of `onnx-int2` in a session that is told so; opened, and its logits, as given."""
    path = RunFolder(exported_once).model("onnx-int2")
    zeros = np.zeros((1, 2), np.float32)

    def judge(entries=None, logits=zeros, open_=None):
        found = open_ or (lambda _: open_session(path, "cpu", 1, entries))
        return verify_told.judge_told(FORMS["onnx-int2"], found, lambda _: logits, zeros)

    return judge


def test_where_constants_are_not_folded_or_the_runtime_is_older_nothing_is_promised_of_it(told):
    key, value = FORMS["onnx-int2"].exact_told
    found, verdict = told({key: value})
    assert found["max_difference"] == 0 and verdict.outcome == "passed"
    assert told({}) is None
    form = FORMS["onnx-int2"]
    assert verify_told.promises_here(form) and not verify_told.promises_here(FORMS["onnx"])
    assert not verify_told.promises_here(dataclasses.replace(form, exact_from="999.0"))


def test_a_told_session_that_fails_is_a_broken_promise_and_one_of_no_provider_is_none(told):
    key, value = FORMS["onnx-int2"].exact_told

    def fails(error):
        def open_(_):
            raise error

        return open_

    assert told(open_=fails(ProviderUnavailable("not here"))) is None
    for judged in (
        told(open_=fails(CorruptArtefact("ONNX Runtime cannot read it"))),
        told({key: value}, np.full((1, 2), np.nan, np.float32)),
    ):
        assert judged[0] is None and judged[1].outcome == "failed" and judged[1].value is None
        assert judged[1].sentence.startswith("with session.disable_quant_qdq = 1 ")


def test_a_form_that_the_provider_cannot_run_is_verified_on_the_cpu_and_says_so(
    exported_once, run_copy, monkeypatch
):
    """As 8 bits under CUDA: the others' verdicts are not lost for it."""
    shutil.rmtree(run_copy)
    shutil.copytree(exported_once, run_copy)
    monkeypatch.setattr("recycle_pipeline.pipeline.stages.verify.LATENCY_SECONDS", 0.0)
    monkeypatch.setattr("recycle_pipeline.pipeline.stages.verify_further.SECONDS", 0.0)
    tried = []

    def open_(provider, path, threads, cpu_only=False, entries=None):
        if path.name in ("model-int2.onnx", "model-sparse.onnx") and not cpu_only:
            tried.append(path)
            raise ProviderUnavailable(
                "provider 'cuda' was asked for, but it cannot. Usable here: cpu. Ask it."
            )
        found = open_session(path, "cpu", threads, entries)
        return found if cpu_only or threads is not None else other(found)

    def subject_of(context):
        subject = opened_subject(context)
        return dataclasses.replace(subject, model=other(subject.model))

    monkeypatch.setattr("recycle_pipeline.pipeline.stages.verify._opened", open_)
    monkeypatch.setattr("recycle_pipeline.pipeline.stages.verify.opened_subject", subject_of)
    changes = {"timed_batch": [1, 2]}
    result = execute(plan_stage(run_copy, "verify", changes, Silent(), arch=None, force=True))
    found = json.loads(RunFolder(run_copy).verify.read_text())
    assert len(tried) == 2 and result is not None
    note = "verified on the CPU: provider 'cuda' was asked for, but it cannot"
    assert found["forms"]["onnx-int2"]["note"] == note
    assert found["forms"]["onnx-sparse"]["exact"] and found["forms"]["onnx-sparse"]["max_difference"] == 0.0
    assert [n for n, entry in found["forms"].items() if "note" in entry] == [
        *("onnx-fp16", "onnx-sparse", "onnx-int2")
    ]
    [run] = read_runs([run_copy])
    assert f"onnx-int2: {note}" in run.facts.notes
    assert {entry["provider"] for entry in found["forms"].values()} == {"cpu"}
    assert {row["form"] for row in found["further_latencies"]} == {"onnx", *found["forms"]}


def test_the_report_has_the_times_and_the_classes_of_every_form(
    all_forms, run_copy, pages_without_pictures, monkeypatch
):
    monkeypatch.setattr(html, "_figures", pages_without_pictures)
    [run] = read_runs([run_copy])
    verified = run.facts.verified
    timed = {model.name: model for model in verified.latency.models if model.kind == "model"}
    assert list(timed) == [form.form for form in verified.forms] == list(FORMS)
    for model in timed.values():
        low, high = model.median.interval
        assert (model.median.n, model.median.of) == (6, "sessions")
        assert low < model.median.value < high and model.rounds == len(model.samples)
    for form in verified.forms:
        assert sum(each.n for each in form.per_class) == form.top5.n == form.top1.n == 364
    page = run_page(run)
    told = {form.form: form.exact_told for form in verified.forms if form.exact_told}
    assert told == {"onnx-int2": "session.disable_quant_qdq = 1"}
    needs = {form.form: form.needs for form in verified.forms}
    assert needs["onnx"] == ("onnxruntime >=1.15",)
    assert needs["onnx-seed"] == ("onnxruntime >=1.21", FORMS["onnx-seed"].needs)
    card = (run_copy / "README.md").read_text()
    assert FORMS["onnx-seed"].needs in page and FORMS["onnx-seed"].needs in card
    assert "; the logits of onnx with session.disable_quant_qdq = 1" in page
    assert "What each form buys beside onnx" in page
    for name in FORMS:  # the histogram's label, and the row of the table
        assert f">{name}</text>" in page and f'<th scope="row">{name}' in page
    assert page.count("in 6 sessions") == len(verified.latency.models)
    [point] = [p for p in compare([run.facts]).groups[0].points if p.form == "onnx-int8"]
    assert point.latency_ms == timed["onnx-int8"].median, "its interval is not left behind"


def test_verify_json_and_the_result_are_as_their_schemas_say(all_forms, run_copy):
    for name, content in (("run", all_forms), ("verify", json.loads((run_copy / "verify.json").read_text()))):
        found = list(Draft202012Validator(schema(name)).iter_errors(content))
        assert found == [], (name, found[:1])


def test_each_file_says_which_form_it_is_and_of_which_ticket(all_forms, run_copy):
    folder = RunFolder(run_copy)
    said = []
    for name in set(FORMS) - NO_KERNELS:
        model = onnx.load(folder.model(name))
        metadata = {entry.key: entry.value for entry in model.metadata_props}
        assert metadata["form"] == name
        assert metadata["opset"] == str(model.opset_import[0].version)
        assert metadata["ir_version"] == str(model.ir_version)
        assert metadata.get("needs", "") == FORMS[name].needs
        said.append((metadata["ticket_sha256"], metadata["kept"], metadata["classes"]))
    assert len(set(said)) == 1


def test_the_table_shows_each_form_and_what_it_buys(command, all_forms):
    out = command("verify", "mine").out
    for name in FORMS:
        assert f"\n{name} " in out
    assert "of onnx; the same logits; " in out
    assert "the same logits with session.disable_quant_qdq = 1\n" in out
    assert "needs onnxruntime >=1.15\n" in out and "needs onnxruntime >=1.18; a GPU" in out
    assert "needs onnxruntime >=1.21; no OpenVINO" in out
    assert "needs onnxruntime >=1.24; onnxruntime 1.25 and session.disable_quant_qdq = 1 for" in out


def test_a_form_that_is_no_longer_asked_for_is_removed(command, all_forms, run_copy):
    assert command("export", "mine", "--export", "onnx-compact").code == 0
    folder = RunFolder(run_copy)
    there = {name for name in FORMS if folder.model(name).exists()}
    assert there == {"onnx", "onnx-compact"}
    assert set(read_manifest(folder.manifest).stages["export"].outputs) == {
        "onnx/model.onnx",
        "onnx/model-compact.onnx",
    }


def test_a_form_that_breaks_its_promise_is_moved_away_with_the_reason_and_exit_3(command, run_copy):
    assert command("export", "mine", "--export", "onnx-compact,onnx-sparse").code == 0
    folder = RunFolder(run_copy)
    path = folder.model("onnx-compact")
    model = onnx.load(path)
    scale = next(i for i in model.graph.initializer if list(i.dims) == [1, 1])  # of a whole layer
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) * np.float32(1.01), scale.name))
    onnx.save(model, path)
    outcome = command("verify", "mine")
    assert outcome.code == 3
    assert "max_difference failed: onnx-compact: logits differ" in outcome.err
    assert not path.exists() and (run_copy / "rejected/model-compact.onnx").is_file()
    assert "the limit is 0" in (run_copy / "rejected/model-compact.txt").read_text()
    assert "rejected/model-compact.onnx" in outcome.out and "REJECTED" in outcome.out
    assert folder.model("onnx-sparse").exists() and folder.model("onnx").exists()
    again = command("verify", "mine")
    assert again.code == 3 and "max_difference failed: onnx-compact: logits differ" in again.err
    assert command("export", "mine").code == 0
    assert path.exists() and not (run_copy / "rejected/model-compact.onnx").exists()
    assert command("verify", "mine").code == 0


def test_a_form_that_is_less_accurate_than_it_promises_is_moved_away_with_exit_4(command, run_copy):
    assert command("export", "mine", "--export", "onnx-int8").code == 0
    path = RunFolder(run_copy).model("onnx-int8")
    model = onnx.load(path)
    last = model.graph.node[-1].output[0]
    model.graph.node[-1].output[0] = "before"
    model.graph.node.append(onnx.helper.make_node("Neg", ["before"], [last]))  # the least likely class wins
    onnx.save(model, path)
    outcome = command("verify", "mine")
    assert outcome.code == 4
    assert "max_accuracy_drop failed: onnx-int8: top-1 changed by -" in outcome.err
    assert not path.exists() and (run_copy / "rejected/model-int8.onnx").is_file()
    assert "a drop of 0.500% is allowed" in (run_copy / "rejected/model-int8.txt").read_text()


def test_a_form_that_the_network_has_not_is_refused_alone_and_left_out_of_all(command, here):
    options = ("--arch", "conv2", "--epochs", "1", "--subnetwork", "continuous", "--init", "kaiming_normal")
    assert command("search", *options, "--output-dir", "mine").code == 0
    assert command("pack", "mine").code == 0
    alone = command("export", "mine", "--export", "onnx-int2")
    assert alone.code == 1 and "onnx-int2: no weight is ternary" in alone.err
    assert "Traceback" not in alone.err
    everything = command("export", "mine", "--export", "all")
    assert everything.code == 0 and "note: no onnx-int2: " in everything.err
    assert "onnx-int2" in everything.out and "none: onnx-int2: no weight is ternary" in everything.out
    assert command("verify", "mine").code == 0
    assert command("export", "mine").err == "export  unchanged, skipped\n"


@pytest.mark.parametrize("shrink", ("--shrink", "--no-shrink"))
def test_drawn_signs_give_the_same_logits_whether_shrunk_or_not(command, run_copy, shrink):
    assert command("export", "mine", "--export", "onnx-seed", shrink).code == 0
    entry = json.loads(command("verify", "mine", "--json").out)["stages"]["verify"]["forms"]["onnx-seed"]
    assert entry["exact"] and entry["max_difference"] == 0.0


def test_models_that_take_pixels_have_every_form(command, run_copy):
    assert command("export", "mine", "--export", "all", "--embed-preprocessing").code == 0
    assert command("verify", "mine").code == 0


def test_networks_of_signs_have_forms_that_promise_what_onnx_promises_them(command, here):
    """Rounding flips a sign now and then, and logits with it: as many images must agree, not all."""
    options = ("--arch", "conv2", "--epochs", "1", "--activations", "binary", "--output-dir", "mine")
    assert command("search", *options).code == 0 and command("pack", "mine").code == 0
    forms = "onnx-compact,onnx-seed,onnx-sparse,onnx-int2"
    assert command("export", "mine", "--export", forms).code == 0
    found = json.loads(command("verify", "mine", "--json").out)["stages"]["verify"]["forms"]
    judged = {verdict["name"]: verdict["outcome"] for verdict in found["onnx-int2"]["verdicts"]}
    assert judged["min_agreement"] == "passed" and "max_difference" not in judged
    assert found["onnx-compact"]["exact"] and found["onnx-compact"]["max_difference"] == 0.0


def test_onnx_is_always_among_them_and_all_stands_for_every_form():
    assert wanted_forms(("onnx-int8",)) == ("onnx", "onnx-int8")
    assert wanted_forms(("all",)) == wanted_forms(("onnx", "all")) == tuple(FORMS)


def test_forms_for_an_older_runtime_are_written_in_what_it_reads_and_others_left_out(command, run_copy):
    refused = command("export", "mine", "--export", "onnx-seed", "--ort-target", "1.20")
    assert refused.code == 2 and "onnx-seed needs onnxruntime 1.21 and --ort-target is 1.20" in refused.err
    found = command("export", "mine", "--export", "all", "--ort-target", "1.15")
    assert found.code == 0
    assert "note: no onnx-seed: " in found.err and "note: no onnx-int2: " in found.err
    folder = RunFolder(run_copy)
    newer = {"onnx-seed", "onnx-int2", "onnx-kernel", "onnx-kernel-fp32"}
    assert {name for name in FORMS if folder.model(name).exists()} == set(FORMS) - newer
    for name in ("onnx", "onnx-compact"):
        model = onnx.load(folder.model(name))
        said = {entry.key: entry.value for entry in model.metadata_props}
        assert (said["opset"], said["ir_version"], said["onnxruntime"]) == ("18", "8", ">=1.15")
    assert command("verify", "mine").code == 0
