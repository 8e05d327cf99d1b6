"""The names of a run folder's files: documented, so each is pinned."""

from pathlib import Path

import pytest

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.forms import FORMS
from recycle_pipeline.pipeline.run_folder import RunFolder, existing_run, ticket_path


@pytest.mark.parametrize(
    ("attribute", "name"),
    [
        ("config", "config.toml"),
        ("manifest", "manifest.json"),
        ("metrics", "metrics.jsonl"),
        ("live_metrics", "metrics.jsonl.partial"),
        ("checkpoint", "checkpoint.safetensors"),
        ("searched", "search.safetensors"),
        ("ticket", "ticket.safetensors"),
        ("verify", "verify.json"),
    ],
)
def test_the_files_have_their_documented_names(attribute, name):
    assert getattr(RunFolder(Path("runs/mine")), attribute) == Path("runs/mine") / name


def test_the_exported_model_has_its_documented_name():
    assert RunFolder(Path("r")).model("onnx") == Path("r/onnx/model.onnx")


def test_every_form_has_a_file_name_of_its_own():
    assert len({form.file for form in FORMS.values()}) == len(FORMS)
    assert all(name == form.name for name, form in FORMS.items())


def test_a_name_within_the_folder_has_forward_slashes():
    folder = RunFolder(Path("runs") / "mine")
    assert folder.relative(folder.model("onnx")) == "onnx/model.onnx"


def test_a_finished_run_holds_these_files_and_no_others(finished):
    root = finished.folder.root
    assert {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()} == {
        "README.md",
        "config.toml",
        "manifest.json",
        "metrics.jsonl",
        "report.html",
        "search.safetensors",
        "ticket.safetensors",
        "onnx/model.onnx",
        "verify.json",
    }


def test_each_stage_writes_what_the_folder_says_it_may(finished):
    for name, entry in finished.stages.items():
        folder = finished.folder
        lasting = set(folder.made_by(name)) - set(folder.made_meanwhile(name))
        lasting -= set(folder.rejections()) | {folder.model(form) for form in FORMS if form != "onnx"}
        assert set(entry.outputs) == {folder.relative(path) for path in lasting}


def test_a_folder_with_a_config_is_a_run(tmp_path):
    (tmp_path / "config.toml").write_text("")
    assert existing_run(tmp_path) == RunFolder(tmp_path)


def test_a_folder_without_a_config_is_no_run(tmp_path):
    with pytest.raises(
        UsageFault, match=f"^{tmp_path} is not a run folder: it has no config.toml; give the fold"
    ):
        existing_run(tmp_path)


def test_a_ticket_is_named_by_itself_or_by_its_folder(tmp_path):
    assert ticket_path(tmp_path) == tmp_path / "ticket.safetensors"
    assert ticket_path(tmp_path / "other.safetensors") == tmp_path / "other.safetensors"
