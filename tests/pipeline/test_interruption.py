"""Killed runs: nothing looks finished, and the same command then finishes as if nobody had disturbed it."""

import json
import re
import signal
import time

import pytest

from recycle_pipeline.exporters.atomic import TEMPORARY_MARK
from recycle_pipeline.pipeline.leftovers import temporary_files_in
from recycle_pipeline.pipeline.manifest import file_digest, read_manifest
from recycle_pipeline.pipeline.run_folder import RunFolder

LINE = ("--arch", "conv2", "--epochs", "4", "--output-dir")
UNFINISHED = {".lock", "config.toml", "metrics.jsonl.partial", "checkpoint.safetensors"}
DEADLINE = 120.0  # seconds; a process that imports torch on a busy machine may take a while


def wait_for(condition, process):
    end = time.monotonic() + DEADLINE
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.005)


def has_a_line(path):
    return path.is_file() and path.read_bytes().endswith(b"\n")


def finished_looking(root):
    """Files that do not belong to what is still being done."""
    names = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    return {name for name in names if TEMPORARY_MARK not in name} - UNFINISHED


@pytest.fixture
def undisturbed(command, here):
    """The bytes of the ticket that nobody disturbed."""
    assert command("search", *LINE, "undisturbed", "--quiet").code == 0
    assert command("pack", "undisturbed", "--quiet").code == 0
    return (here / "undisturbed" / "ticket.safetensors").read_bytes()


def test_a_search_killed_within_an_epoch_leaves_nothing_finished_and_goes_on(
    start, command, here, undisturbed
):
    process = start("search", *LINE, "mine")
    wait_for(lambda: has_a_line(here / "mine" / "metrics.jsonl.partial"), process)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert finished_looking(here / "mine") == set()
    assert json.loads((here / "mine" / "metrics.jsonl.partial").read_text().splitlines()[0])["epoch"] == 1
    refused = command("pack", "mine")
    assert refused.code == 2 and "mine/search.safetensors is not there" in refused.err

    assert command("search", *LINE, "mine").code == 0
    assert command("pack", "mine").code == 0
    assert (here / "mine" / "ticket.safetensors").read_bytes() == undisturbed
    assert not (here / "mine" / "metrics.jsonl.partial").exists()
    assert len((here / "mine" / "metrics.jsonl").read_text().splitlines()) == 4


def test_ctrl_c_is_exit_130_and_says_how_to_go_on(start, here):
    process = start("search", *LINE, "mine")
    wait_for(lambda: has_a_line(here / "mine" / "metrics.jsonl.partial"), process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=DEADLINE)
    assert (process.returncode, out) == (130, "")
    assert err.endswith("; the same command goes on from there.\n")
    assert "Traceback" not in err
    assert finished_looking(here / "mine") == set()


# Ctrl-C at the moment when a module is about to be imported.
INTERRUPTED_IMPORT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)

class Interrupting:
    def find_spec(name, path, target=None):
        if name == sys.argv[1]:
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupting)
from recycle_pipeline.pipeline.cli import main
main(["run", "--prune", "2"])
"""


@pytest.mark.parametrize("module", ["click", "numpy", "recycle_pipeline.pipeline.runner"])
def test_ctrl_c_while_modules_are_imported_is_exit_130_without_a_traceback(start, module):
    process = start(module, script=INTERRUPTED_IMPORT)
    out, err = process.communicate(timeout=DEADLINE)
    assert (process.returncode, out, err.strip().count("\n")) == (130, "", 0), err
    assert err.strip().startswith("Interrupted.")


def test_a_run_killed_while_it_exports_keeps_the_stages_before_and_finishes(
    start, command, here, same_run, finished
):
    manifest = here / "mine" / "manifest.json"
    process = start("run", *same_run, "mine")
    wait_for(lambda: manifest.is_file() and '"pack"' in manifest.read_text(), process)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert list(read_manifest(manifest).stages) == ["search", "pack"]
    assert finished_looking(here / "mine") == {
        "manifest.json",
        "metrics.jsonl",
        "search.safetensors",
        "ticket.safetensors",
    }
    outcome = command("run", *same_run, "mine")
    assert outcome.code == 0
    assert re.match(r"search  unchanged, skipped\npack    unchanged, skipped\nexport  rebuild", outcome.err)
    for name in ("ticket.safetensors", "onnx/model.onnx"):
        assert (here / "mine" / name).read_bytes() == (finished.folder.root / name).read_bytes()


# Forks a child for each n, that is killed at its n-th rename: every moment when a file would appear.
KILLED_AT_RENAMES = """
import json, os, signal, sys
from pathlib import Path
import torch._dynamo  # what an optimizer imports when it is made: before the fork, once for all
import recycle_pipeline.pipeline.search.loop, recycle_pipeline.exporters.ticket.writer
from recycle_pipeline.pipeline.cli import main
from recycle_pipeline.pipeline.data import load

line, replace = sys.argv[1:], Path.replace
load(line[line.index("--data") + 1])  # imports all it takes, before the fork

def both(name):
    for command in (["search", *line, "--output-dir", name], ["pack", name]):
        try:
            main([*command, "--quiet"])
        except SystemExit as stop:
            if stop.code:
                os._exit(stop.code)
    os._exit(0)

def child(name, fatal):
    if pid := os.fork():
        return os.waitpid(pid, 0)[1]
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    count = 0

    def killing(self, target):
        nonlocal count
        count += 1
        if count == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(self, target)

    Path.replace = killing
    both(name)

killed = 0
while os.WIFSIGNALED(child(f"killed{killed + 1}", killed + 1)):
    killed += 1
    os.system(f"cp -r killed{killed} left{killed}")
print(json.dumps({"killed": killed, "again": [child(f"killed{n + 1}", 0) for n in range(killed)]}))
"""


def test_killed_at_any_rename_nothing_unfinished_is_claimed_and_the_same_commands_finish(
    start, here, write_photos
):
    """config, checkpoint, search, metrics, manifest; ticket, manifest, card, config: nine renames."""
    line = ("--arch", "conv2", "--width", "0.25", "--epochs", "2")
    line += ("--data", f"folder:{write_photos(each=6)}")
    out, err = start(*line, script=KILLED_AT_RENAMES).communicate(timeout=DEADLINE)
    result = json.loads(out)
    assert result["killed"] == 9
    for number in range(1, 10):
        left = RunFolder(here / f"left{number}")
        for entry in read_manifest(left.manifest).stages.values():
            for name, digest in entry.outputs.items():
                assert file_digest(left.root / name) == digest
    assert result["again"] == [0] * 9, err
    tickets = {(here / f"killed{n}" / "ticket.safetensors").read_bytes() for n in range(1, 11)}
    assert len(tickets) == 1  # the tenth was not disturbed
    assert len({(here / f"killed{n}" / "README.md").read_bytes() for n in range(1, 11)}) == 1


def test_another_run_that_was_being_replaced_does_not_pass_for_the_new_one(
    command, run_copy, same_run, monkeypatch
):
    """`--force search` with other settings, interrupted: the old ticket must not pass for the new run's."""
    replacing = ("run", *same_run, "mine", "--seed", "5", "--force", "search")
    with monkeypatch.context() as patch:
        patch.setattr("recycle_pipeline.pipeline.search.loop.evaluate", interrupt)
        assert command(*replacing).code == 130
    for stage in ("pack", "export", "verify"):
        outcome = command(stage, "mine", "--force")
        assert outcome.code == 2 and "is not there" in outcome.err
    assert command("run", *same_run, "mine", "--seed", "5").code == 0


def test_what_killed_writes_left_goes_with_the_next_command_and_other_files_stay(command, run_copy):
    left = [
        run_copy / f"{folder}.{name}{TEMPORARY_MARK}0a1b2c3d"
        for folder, name in (
            ("", "search.safetensors"),
            ("", "ticket.safetensors"),
            ("", "manifest.json"),
            ("", "README.md"),
            ("onnx/", "model.onnx"),
        )
    ]
    others = run_copy / f".mine{TEMPORARY_MARK}0a1b2c3d"
    scratch = run_copy / f".scratch{TEMPORARY_MARK}0a1b2c3d" / "of a library"
    scratch.mkdir(parents=True)
    for path in (*left, others, scratch / "model.onnx"):
        path.write_bytes(b"half")
    assert command("pack", "mine").code == 0
    assert [path for path in (*left, scratch.parent) if path.exists()] == [] and others.exists()
    assert [path.name for path in run_copy.iterdir() if TEMPORARY_MARK in path.name] == [others.name]


def interrupt(*arguments):
    raise KeyboardInterrupt


def test_what_torch_compiles_is_not_kept_in_a_run_that_ended(here, monkeypatch):
    """It made .scratch.partial-*/torchinductor_USER again in the folder of an earlier run."""
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    (here / "run").mkdir()
    with temporary_files_in(RunFolder(here / "run")):
        cache_dir()
    cache_dir()
    assert list((here / "run").iterdir()) == []
