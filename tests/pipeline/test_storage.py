"""Disks that are full, read-only, forbidden or gone: a clear error, and what was good stays."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from recycle_pipeline.exporters.atomic import TEMPORARY_MARK
from recycle_pipeline.pipeline.run_folder import folder_name

FILES = ("search.safetensors", "ticket.safetensors", "onnx/model.onnx")


@pytest.fixture
def disk(tmp_path):
    """Mounts a small disk, or changes its size or its rights; returns where it is."""
    where = tmp_path / "disk"
    where.mkdir()

    def mounted(options):
        again = "remount," if os.path.ismount(where) else ""
        line = ["mount", "-t", "tmpfs", "-o", f"{again}{options}", "none", str(where)]
        if os.geteuid() or subprocess.run(line, capture_output=True).returncode:
            pytest.skip("mounting a small disk is for root alone, where it is allowed")
        return where

    yield mounted
    if os.path.ismount(where):
        subprocess.run(["umount", "-l", str(where)], check=True)


def test_a_run_on_a_full_disk_says_so_leaves_no_part_and_goes_on_when_there_is_room(
    command, disk, same_run, finished
):
    said = "Error: No space left on device ("
    for kilobytes in (4, 24, 300, 700):
        root = disk(f"size={kilobytes}k") / "run"
        outcome = command("run", *same_run, root)
        assert outcome.code == 1 and said in outcome.err and "Traceback" not in outcome.err, outcome
        assert [path for path in root.rglob("*") if TEMPORARY_MARK in path.name] == []
    disk("size=16m")
    outcome = command("run", *same_run, root)
    assert outcome.code == 0 and outcome.err.startswith("search  unchanged, skipped"), outcome.err
    for name in FILES:
        assert (root / name).read_bytes() == (finished.folder.root / name).read_bytes()


def test_an_export_that_finds_no_room_leaves_the_forms_that_were_there(command, disk, finished):
    size = sum(path.stat().st_size for path in finished.folder.root.rglob("*")) // 1024
    root = shutil.copytree(finished.folder.root, disk(f"size={size + 120}k") / "run")
    before = (root / "onnx/model.onnx").read_bytes()
    for options in (("--force",), ("--embed-preprocessing", "--export", "onnx,onnx-compact")):
        outcome = command("export", root, *options)
        assert outcome.code == 1 and "No space left on device" in outcome.err
        assert (root / "onnx/model.onnx").read_bytes() == before
    assert sorted(path.name for path in (root / "onnx").iterdir()) == ["model.onnx"]
    disk("size=16m")
    assert command("export", root).err == "export  unchanged, skipped\n"


def test_a_search_goes_on_while_its_metrics_cannot_be_written(command, here, same_run, monkeypatch, finished):
    """Written by a file that is full, as the system has one."""
    from recycle_pipeline.pipeline.stages import search_log

    lines = search_log.SearchLog.__init__

    def full(self, *arguments, **options):
        lines(self, *arguments, **options)
        self._live.close()
        self._live = Path("/dev/full").open("w")  # noqa: SIM115 - the log closes it

    monkeypatch.setattr(search_log.SearchLog, "__init__", full)
    outcome = command("search", *same_run, "mine")
    assert outcome.code == 0
    assert outcome.err.count("cannot be written (No space left on device); the search goes on") == 1
    assert len((here / "mine" / "metrics.jsonl").read_text().splitlines()) == 1


def test_a_disk_that_may_only_be_read_is_said_by_name(command, disk, finished, same_run):
    root = shutil.copytree(finished.folder.root, disk("size=16m") / "run")
    disk("ro")
    for line in (
        ("run", *same_run, root),
        ("export", root, "--force"),
        ("run", *same_run, root.parent / "new"),
    ):
        outcome = command(*line)
        assert outcome.code == 1 and "Error: Read-only file system (" in outcome.err
        assert str(root.parent) in outcome.err
    assert command("inspect", root).code == 0 and command("report", root, "--format", "md").code == 0


@pytest.fixture
def as_nobody(command):
    """The command as another user, of whom files are asked what they are of anyone."""

    def call(*line):
        os.seteuid(65534)
        try:
            return command(*line)
        finally:
            os.seteuid(0)

    return call


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can become another user")
def test_a_folder_that_may_not_be_written_or_read_is_said_by_name(finished, as_nobody):
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        root = shutil.copytree(finished.folder.root, Path(place) / "run")
        outcome = as_nobody("export", root, "--force")
        assert outcome.code == 1 and f"Error: Permission denied ({root}/.lock" in outcome.err
        os.chmod(root / "ticket.safetensors", 0)
        outcome = as_nobody("inspect", root)
        assert outcome.code == 1 and f"Permission denied ({root}/ticket.safetensors)" in outcome.err


def test_a_folder_that_is_removed_under_a_search_ends_it_and_is_not_made_again(
    command, here, same_run, monkeypatch
):
    from recycle_pipeline.pipeline.search import loop

    evaluate = loop.evaluate

    def removing(*arguments):
        shutil.rmtree("mine")
        return evaluate(*arguments)

    monkeypatch.setattr(loop, "evaluate", removing)
    outcome = command("search", *same_run, "mine")
    assert (
        outcome.code == 1 and "Error: mine was removed or replaced while this command worked" in outcome.err
    )
    assert not (here / "mine").exists()
    monkeypatch.undo()
    os.chdir(here)
    assert command("search", *same_run, "mine").code == 0


def test_a_file_that_is_removed_under_a_running_stage_is_named(command, run_copy, monkeypatch):
    from recycle_pipeline.pipeline import dense_model

    fold = dense_model.fold

    def removing(*arguments):
        (run_copy / "ticket.safetensors").unlink()
        return fold(*arguments)

    monkeypatch.setattr(dense_model, "fold", removing)
    outcome = command("export", "mine", "--force")
    assert outcome.code == 1
    assert "Error: No such file or directory (mine/ticket.safetensors)" in outcome.err


@pytest.mark.parametrize("name", ["наборы 結果 é", "x" * 255, "/".join(["deep"] * 200)])
def test_long_names_and_names_beyond_ascii_are_names_like_others(command, here, same_run, finished, name):
    root = here / name
    root.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(finished.folder.root, root)
    assert command("export", name, "--force").code == 0
    assert command("verify", name, "--force").code == 0
    assert (root / "onnx/model.onnx").read_bytes() == (finished.folder.root / "onnx/model.onnx").read_bytes()


@pytest.mark.parametrize("name", ["x" * 256, "a/" * 2100 + "z"])
def test_names_that_no_file_system_takes_are_said_and_nothing_is_written(command, here, tree, same_run, name):
    outcome = command("search", *same_run, name)
    assert outcome.code == 1 and "Error: File name too long (" in outcome.err
    assert tree() == {}


def test_a_default_folders_name_is_never_too_long():
    name = folder_name(["package." * 40 + "network", "結果" * 80, "0.9", "0123abcd"])
    assert len(name.encode()) <= 200 and name.endswith("-0.9-0123abcd")
    assert folder_name(["resnet18", "digits", "0.9", "bcbd52f7"]) == "resnet18-digits-0.9-bcbd52f7"


def test_a_link_to_a_folder_is_that_folder_and_a_link_to_a_file_is_replaced_not_followed(
    command, run_copy, here
):
    (here / "link").symlink_to("mine")
    (here / "elsewhere").write_text("keep")
    (run_copy / "onnx/model.onnx").unlink()
    (run_copy / "onnx/model.onnx").symlink_to(here / "elsewhere")
    assert command("export", "link").code == 0
    assert (here / "elsewhere").read_text() == "keep"
    assert not (run_copy / "onnx/model.onnx").is_symlink()


def test_a_link_to_nowhere_is_refused(command, here, same_run, tree):
    (here / "link").symlink_to("nowhere")
    outcome = command("search", *same_run, "link")
    assert outcome.code == 2 and "--output-dir link is a link to nowhere, which is not there" in outcome.err
