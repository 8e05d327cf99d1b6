"""Forms that cannot be opened, compute nothing or the wrong numbers: rejected, said, and judged again."""

import json
import shutil

import numpy as np
import onnx
import pytest
from jsonschema import Draft202012Validator
from onnx import helper, numpy_helper

from recycle_pipeline.pipeline.manifest import read_manifest
from recycle_pipeline.pipeline.report.collect import read_runs
from recycle_pipeline.pipeline.reporter import Silent
from recycle_pipeline.pipeline.run_folder import RunFolder
from recycle_pipeline.pipeline.runner import execute, plan_stage
from recycle_pipeline.pipeline.schemas import schema

FORMS = "onnx-compact,onnx-int8,onnx-fp16"


@pytest.fixture(scope="module")
def verified_once(finished, tmp_path_factory):
    """A copy of the finished run with more forms, verified, and a report."""
    root = shutil.copytree(finished.folder.root, tmp_path_factory.mktemp("rejections") / "mine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recycle_pipeline.pipeline.stages.verify.LATENCY_SECONDS", 0.0)
        for stage, changes in (
            ("export", {"export": ("onnx", *FORMS.split(","))}),
            ("verify", {"provider": "cpu"}),
        ):
            execute(plan_stage(root, stage, changes, Silent(), arch=None, force=False))
    assert (root / "report.html").is_file()
    return root


@pytest.fixture
def folder(verified_once, here):
    """A copy of it."""
    return RunFolder(shutil.copytree(verified_once, here / "mine"))


def errors(name, content):
    return [error.message for error in Draft202012Validator(schema(name)).iter_errors(content)]


def changed(path, change):
    """Writes a file's model with these arrays in place of its float weights."""
    model = onnx.load(path)
    for item in model.graph.initializer:
        if item.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16):
            array = numpy_helper.to_array(item)
            item.CopyFrom(numpy_helper.from_array(change(array).astype(array.dtype), item.name))
    onnx.save(model, path)


def without_a_number(path):
    """Logits end in 0 / 0."""
    model = onnx.load(path)
    last = model.graph.node[-1].output[0]
    model.graph.node[-1].output[0] = "before"
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0), "nothing"))
    model.graph.node.append(helper.make_node("Mul", ["before", "nothing"], ["none"]))
    model.graph.node.append(helper.make_node("Div", ["none", "nothing"], [last]))
    onnx.save(model, path)


def with_other_classes(path):
    model = onnx.load(path)
    last = model.graph.node[-1].output[0]
    model.graph.node[-1].output[0] = "before"
    model.graph.node.append(helper.make_node("Concat", ["before", "before"], [last], axis=1))
    del model.graph.output[0].type.tensor_type.shape.dim[1]
    model.graph.output[0].type.tensor_type.shape.dim.add().dim_param = "twice"
    onnx.save(model, path)


def garbage(path):
    path.write_bytes(b"garbage")


def facts(root):
    [run] = read_runs([root])
    return run.facts


def card_of(folder):
    return folder.card.read_text()


UNFIT = [
    (garbage, 6, "opens failed: onnx-int8: ONNX Runtime"),
    (without_a_number, 3, "gives_logits failed: onnx-int8: the exported model's logits are not finite"),
    (with_other_classes, 3, "gives_logits failed: onnx-int8: the reference has logits of shape"),
]


@pytest.mark.parametrize(("damage", "code", "sentence"), UNFIT)
def test_a_form_of_which_nothing_can_be_measured_is_rejected_and_the_others_are_judged(
    command, folder, damage, code, sentence
):
    damage(path := folder.model("onnx-int8"))
    outcome = command("verify", "mine", "--json")
    assert outcome.code == code and f"Error: {sentence}" in outcome.err and "Traceback" not in outcome.err
    assert not path.exists() and folder.is_rejected("onnx-int8")
    assert sentence in (folder.rejected / "model-int8.txt").read_text()
    found = json.loads(folder.verify.read_text())
    assert list(found["unmeasured"]) == ["onnx-int8"]
    assert set(found["forms"]) == {"onnx-compact", "onnx-fp16"}, "later ones are judged too"
    assert errors("verify", found) == [] and errors("run", json.loads(outcome.out)) == []
    assert "verify" not in read_manifest(folder.manifest).stages
    verdict = facts(folder.root).verdict
    assert verdict.outcome == "failed" and "onnx-int8" in verdict.sentence
    assert "failed" in command("report", "mine", "--format", "md").out
    assert "model-int8.onnx" not in card_of(folder) and "| accuracy | not verified |" in card_of(folder)
    assert "Passed" not in folder.report.read_text().partition("</header>")[0]
    assert "rejected/model-int8.onnx" in command("verify", "mine").out


def test_a_form_for_which_memory_does_not_suffice_is_not_rejected(command, folder, monkeypatch):
    from recycle_pipeline.evaluators import session

    before, path = session.new_session, folder.model("onnx-int8")

    def full(source, *arguments, **options):
        if source == str(path.relative_to(folder.root.parent)):
            raise RuntimeError("Exception during initialization: std::bad_alloc")
        return before(source, *arguments, **options)

    monkeypatch.setattr(session, "new_session", full)
    outcome = command("verify", "mine", "--max-difference", "0.001")
    assert outcome.code == 1 and "memory ran out while ONNX Runtime opened" in outcome.err
    assert path.is_file() and not folder.rejected.exists()


def test_of_several_the_most_serious_decides_the_exit_code_and_all_are_named(command, folder):
    without_a_number(folder.model("onnx-compact"))
    garbage(folder.model("onnx-fp16"))
    outcome = command("verify", "mine")
    assert outcome.code == 6
    for sentence in ("gives_logits failed: onnx-compact: ", "opens failed: onnx-fp16: "):
        assert sentence in outcome.err
    assert [form for form in ("onnx", *FORMS.split(",")) if folder.is_rejected(form)] == [
        "onnx-compact",
        "onnx-fp16",
    ]


def test_a_wrong_onnx_is_itself_rejected_and_the_others_are_held_to_torch(command, folder):
    changed(folder.model("onnx"), lambda array: array * 1.1)
    outcome = command("verify", "mine")
    assert outcome.code == 3 and "max_difference failed: logits differ" in outcome.err
    assert (
        folder.is_rejected("onnx") and "max_difference failed" in (folder.rejected / "model.txt").read_text()
    )
    assert f"{folder.rejection('onnx').name}" in outcome.out and "REJECTED" in outcome.out
    found = json.loads(folder.verify.read_text())
    assert (
        found["rejected"] == "rejected/model.onnx" and not found["passed"] and errors("verify", found) == []
    )
    for name in FORMS.split(","):
        assert folder.model(name).is_file() and found["forms"][name]["compared_with"] == "torch"
        assert {v["outcome"] for v in found["forms"][name]["verdicts"]} <= {"passed", "not-asked"}
    assert not found["forms"]["onnx-compact"]["exact"]
    limits = {v["name"]: v["limit"] for v in found["forms"]["onnx-compact"]["verdicts"]}
    assert limits["max_difference"] == found["verdicts"][0]["limit"]
    assert facts(folder.root).verdict.outcome == "failed"
    assert [form.form for form in facts(folder.root).verified.forms if form.rejected] == ["onnx"]


@pytest.mark.parametrize(("damage", "code"), [(garbage, 6), (without_a_number, 3)])
def test_without_numbers_of_onnx_it_is_rejected_and_no_other_is_judged(command, folder, damage, code):
    damage(folder.model("onnx"))
    for _ in range(2):
        outcome = command("verify", "mine")
        assert outcome.code == code and "rejected/model.onnx now, and no other form is judged" in outcome.err
        assert folder.is_rejected("onnx") and not folder.verify.exists() and "parity" not in outcome.out
        assert all(folder.model(form).is_file() for form in FORMS.split(","))
        assert facts(folder.root).verdict.outcome == "failed"
    assert "| accuracy | not verified |" in card_of(folder)
    assert command("export", "mine").code == 0 and command("verify", "mine").code == 0
    assert not folder.is_rejected("onnx") and facts(folder.root).verdict.outcome == "passed"


def test_a_gate_on_the_network_rejects_no_form(command, folder):
    assert command("verify", "mine", "--min-top1", "1.0").code == 4
    assert folder.model("onnx").is_file() and not folder.rejected.exists()


def test_a_rejected_form_is_judged_again_and_fails_again_and_the_others_go_on_being_judged(command, folder):
    changed(folder.model("onnx-compact"), lambda array: array * 1.01)
    assert command("verify", "mine").code == 3
    for _ in range(2):
        outcome = command("verify", "mine")
        assert outcome.code == 3 and "max_difference failed: onnx-compact: logits differ" in outcome.err
        assert "verify  rejected/model-compact.onnx against onnx" in outcome.err
        assert set(json.loads(folder.verify.read_text())["forms"]) == set(FORMS.split(","))
        assert folder.is_rejected("onnx-compact") and folder.model("onnx-int8").is_file()
    assert command("export", "mine", "--export", "onnx-int8").code == 0
    assert not list(folder.rejected.iterdir()), "it is not asked for any more"
    assert command("verify", "mine").code == 0


def test_one_that_keeps_its_promise_now_goes_back(command, folder):
    before = folder.model("onnx").read_bytes()
    assert command("verify", "mine", "--max-difference", "0").code == 3
    assert folder.is_rejected("onnx") and folder.rejection("onnx").read_bytes() == before
    assert command("verify", "mine", "--max-difference", "0.0001").code == 0
    assert folder.model("onnx").read_bytes() == before and not list(folder.rejected.iterdir())
    assert command("verify", "mine").err == "verify  unchanged, skipped\n"
    assert facts(folder.root).verdict.outcome == "passed"


def test_the_report_notices_files_that_verify_did_not_see(command, folder):
    assert facts(folder.root).verdict.outcome == "passed"
    changed(folder.model("onnx-int8"), lambda array: array * 1.01)
    verdict = facts(folder.root).verdict
    assert verdict.outcome == "not verified"
    assert verdict.sentence == "onnx-int8 is not the file that `verify` judged: verify again."
    assert "onnx-int8" not in [form.form for form in facts(folder.root).verified.forms]
    garbage(folder.model("onnx"))
    assert facts(folder.root).verdict.outcome == "not verified" and facts(folder.root).verified is None


def test_an_error_that_is_no_forms_fault_leaves_no_report_and_no_card_of_other_files(
    command, folder, monkeypatch
):
    garbage(folder.model("onnx-int8"))

    def ended(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("recycle_pipeline.pipeline.stages.verify.opened_subject", ended)
    assert command("verify", "mine").code == 130
    assert not folder.report.exists() and "model-int8.onnx" not in card_of(folder)


def test_the_card_lists_forms_that_are_there_alone(command, folder):
    assert "model-int8.onnx" in card_of(folder)
    assert command("export", "mine", "--export", "onnx-compact").code == 0
    assert "model-compact.onnx" in card_of(folder) and "model-int8.onnx" not in card_of(folder)
    assert "onnx-int8" not in [form.form for form in facts(folder.root).verified.forms]
    assert facts(folder.root).verdict.outcome == "passed"


def test_export_prints_nothing_of_what_verify_found_of_files_that_it_replaces(command, folder):
    content = json.loads(folder.verify.read_text())
    row = {"form": "onnx-fp16", "against": "onnx", "batch": 16, "threads": 1, "median_ms": 1.0}
    row["ratio"] = {"ratio": 1.0, "low": 1.0, "high": 1.0}
    content["further_latencies"] = [row, row | {"form": "onnx-compact"}]
    folder.verify.write_text(json.dumps(content))
    outcome = command("export", "mine", "--export", FORMS, "--ort-target", "1.17", "--json")
    found = json.loads(outcome.out)["stages"]["verify"]
    assert set(found["forms"]) == {"onnx-compact", "onnx-int8"}, "onnx-fp16 is another file"
    assert [each["form"] for each in found["further_latencies"]] == ["onnx-compact"]
    garbage(folder.model("onnx"))
    assert "verify" not in json.loads(command("pack", "mine", "--json").out)["stages"]


def test_a_form_that_came_later_is_not_verified_with_the_others(command, run_copy):
    assert facts(run_copy).verdict.outcome == "passed"
    assert command("export", "mine", "--export", "onnx-compact").code == 0
    verdict = facts(run_copy).verdict
    assert verdict.outcome == "not verified" and verdict.sentence.startswith("onnx-compact is not the file")


def test_logits_that_no_float16_holds_fail_though_the_cpu_computes_them(command, folder):
    entry = json.loads(folder.verify.read_text())["forms"]["onnx-fp16"]
    assert "computed in float32 here" in entry["note"]
    assert [v["limit"] for v in entry["verdicts"] if v["name"] == "max_magnitude"] == [65504.0]
    changed(folder.model("onnx-fp16"), lambda array: np.where(array < 0, -60000, 60000))
    outcome = command("verify", "mine", "--provider", "cpu")
    assert outcome.code == 3 and "max_magnitude failed: onnx-fp16: logits reach " in outcome.err
    assert folder.is_rejected("onnx-fp16")
