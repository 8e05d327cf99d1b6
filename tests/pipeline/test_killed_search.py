"""Searches killed with SIGKILL at random moments end in the bytes of one that nobody disturbed."""

import json
import re
import shutil
import signal
import subprocess
import sys

import pytest

from recycle_pipeline.pipeline.manifest import read_manifest
from recycle_pipeline.pipeline.search.checkpoint import read_checkpoint

DEADLINE = 300.0  # seconds, on a busy machine
EPOCHS = 5
NETWORK = ("--arch", "conv2", "--width", "0.5")
LINE = ("search", *NETWORK, "--epochs", EPOCHS, "--batch-size", 256, "--output-dir")
METHODS = {
    "recycle": (),
    "iterand": ("--reuse", "rerandomize", "--reuse-period-steps", "4", "--scores", "signed", "--seed", "1"),
    "adam": ("--optimizer", "adam", "--learning-rate", "0.01", "--reuse", "hybrid", "--seed", "2"),
    "learned": ("--batch-norm", "learned", "--arch", "resnet20", "--width", "0.125"),
    "global": ("--scope", "global", "--reuse", "rerandomize", "--subnetwork", "continuous"),
}

# For each method: a search that nobody disturbs, forked from one process that has all imports; then one
# that is killed at two random moments of that time. Prints the epochs done and gone on from at each kill.
KILLED = """
import json, os, random, signal, sys, time
from pathlib import Path
import torch._dynamo  # what an optimizer imports when it is made: before the fork, once for all
import recycle_pipeline.pipeline.search.loop, recycle_pipeline.exporters.ticket.writer
from recycle_pipeline.pipeline.cli import main
from recycle_pipeline.pipeline.data import load

line, methods = json.loads(sys.argv[1]), json.loads(sys.argv[2])
load("digits")

def child(name, options):
    if pid := os.fork():
        return pid
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(name + ".err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    try:
        main([*line, name, *options])
    except SystemExit as stop:
        os._exit(stop.code or 0)

def ended(pid, within):
    end = time.monotonic() + within
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert status == 0, status
            return True
        time.sleep(0.005)
    return False

for number, (name, options) in enumerate(methods.items()):
    luck = random.Random(number)
    began = time.monotonic()
    assert ended(child(name + "-whole", options), 200)
    whole, kills = time.monotonic() - began, []
    for _ in range(2):
        pid = child(name + "-cut", options)
        if ended(pid, luck.uniform(0.3, 0.8) * whole):
            break
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        lines = [*Path(name + "-cut").glob("metrics.jsonl*")]  # .partial until its last epoch is over
        done = len(lines[0].read_text().splitlines()) if lines else 0
        kills.append([Path(name + "-cut.err").read_text(), done])
    else:
        assert ended(child(name + "-cut", options), 200)
    print(json.dumps([name, kills, Path(name + "-cut.err").read_text()]), flush=True)
"""


def metrics(folder):
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in line.items() if k not in ("seconds", "images_per_second")} for line in lines]


def continued(err):
    """The epoch gone on from, 0 for none; None if it was killed too soon to say."""
    if found := re.search(
        r"^search  continues after epoch (\d+) of 5 \(checkpoint\.safetensors\)$", err, re.M
    ):
        return int(found[1])
    return 0 if "epoch 1/5" in err else None


def test_killed_at_random_moments_every_method_ends_in_the_same_bytes_and_loses_at_most_an_epoch(start, here):
    line, methods = json.dumps([str(word) for word in LINE]), json.dumps(METHODS)
    out, err = start(line, methods, script=KILLED).communicate(timeout=DEADLINE)
    rows = [json.loads(text) for text in out.splitlines()]
    assert [name for name, _, _ in rows] == list(METHODS), err
    for name, kills, last in rows:
        whole, cut = here / f"{name}-whole", here / f"{name}-cut"
        assert (cut / "search.safetensors").read_bytes() == (whole / "search.safetensors").read_bytes(), name
        assert metrics(cut) == metrics(whole) and len(metrics(cut)) == EPOCHS
        assert {path.name for path in cut.iterdir()} == {path.name for path in whole.iterdir()}
        after = [continued(text) for text, _ in kills[1:]] + ([continued(last)] if kills else [])
        done = 0
        for (_, lines), again in zip(kills, after, strict=False):
            done = max(done, lines)  # an attempt that was killed at once has none
            assert again is None or done - 1 <= again <= done, (name, kills, last)
    assert sum(len(kills) for _, kills, _ in rows) >= len(METHODS)
    assert any(continued(last) for _, _, last in rows)


# Dies when the n-th checkpoint is about to be written: its epoch is over and in the metrics.
KILLED_BEFORE_WRITE = """
import os, signal, sys
from recycle_pipeline.pipeline.cli import main
from recycle_pipeline.pipeline.search import checkpoints

write = checkpoints.write_checkpoint

def killing(checkpoint, path):
    if len(checkpoint.records) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    write(checkpoint, path)

checkpoints.Checkpoints.take.__globals__["write_checkpoint"] = killing
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def photos(photos_into, tmp_path_factory):
    return photos_into(tmp_path_factory.mktemp("killed") / "photos")


@pytest.fixture(scope="module")
def photo_line(photos):
    network = ("--arch", "conv2", "--width", 0.25, "--epochs", 5)
    return ("search", *network, "--data", f"folder:{photos}", "--output-dir")


@pytest.fixture(scope="module")
def killed_once(photos, photo_line, import_path):
    """A folder whose search died after its third epoch, before that epoch's checkpoint."""
    line = [sys.executable, "-c", KILLED_BEFORE_WRITE, *map(str, photo_line), "mine"]
    done = subprocess.run(line, cwd=photos.parent, env=import_path, capture_output=True, timeout=DEADLINE)
    assert done.returncode == -signal.SIGKILL
    root = photos.parent / "mine"
    assert len(read_checkpoint(root / "checkpoint.safetensors").records) == 2
    assert len((root / "metrics.jsonl.partial").read_text().splitlines()) >= 3
    return root


@pytest.fixture
def killed(killed_once, here):
    """A copy of that folder, at `mine` in the current folder."""
    return shutil.copytree(killed_once, here / "mine")


def test_killed_between_an_epoch_and_its_checkpoint_the_epoch_is_done_again_and_told_once(
    command, here, killed, photo_line
):
    assert command(*photo_line, "whole").code == 0
    outcome = command(*photo_line, "mine")
    lines = outcome.err.splitlines()
    assert lines[1] == "search  continues after epoch 2 of 5 (checkpoint.safetensors)"
    assert [line.split("  ")[1] for line in lines[2:5]] == ["epoch 3/5", "epoch 4/5", "epoch 5/5"]
    assert metrics(killed) == metrics(here / "whole")
    assert (killed / "search.safetensors").read_bytes() == (here / "whole/search.safetensors").read_bytes()
    assert not (killed / "checkpoint.safetensors").exists()


def test_force_begins_anew(command, killed, photo_line):
    outcome = command(*photo_line, "mine", "--force", "search")
    assert "continues" not in outcome.err and "epoch 1/5" in outcome.err


def test_another_run_in_its_place_removes_it(command, killed, photo_line):
    outcome = command(*photo_line, "mine", "--seed", "1", "--force", "search")
    assert outcome.code == 0 and "checkpoint" not in outcome.err
    assert not (killed / "checkpoint.safetensors").exists()


def test_other_data_of_the_same_name_begin_anew_and_say_why(command, killed, photo_line, photos, photos_into):
    photos_into(photos, seed=1)
    outcome = command(*photo_line, "mine")
    photos_into(photos)  # for the other tests
    assert re.search(
        r"^search  checkpoint.safetensors is of another search "
        r"\(contents of data \w{12} there, \w{12} here\); it is not used, the search begins anew$",
        outcome.err,
        re.M,
    )
    assert outcome.code == 0 and "epoch 1/5" in outcome.err


def test_another_version_begins_anew_and_says_why(command, killed, photo_line, monkeypatch):
    monkeypatch.setattr("recycle_pipeline.pipeline.stages.search.VERSION", "9.9")
    outcome = command(*photo_line, "mine")
    assert "(version of recycle-pipeline 0.1.0 there, 9.9 here); it is not used" in outcome.err


def test_a_damaged_checkpoint_is_told_and_not_used(command, killed, photo_line):
    path = killed / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    outcome = command(*photo_line, "mine")
    assert "search  checkpoint.safetensors is damaged (" in outcome.err and "epoch 1/5" in outcome.err


def test_one_that_was_left_beside_a_finished_search_goes_when_the_search_is_skipped(
    command, killed, photo_line
):
    content = (killed / "checkpoint.safetensors").read_bytes()
    assert command(*photo_line, "mine").code == 0
    (killed / "checkpoint.safetensors").write_bytes(content)  # killed after the manifest was written
    assert command(*photo_line, "mine").err.splitlines()[0] == "search  unchanged, skipped"
    assert not (killed / "checkpoint.safetensors").exists()
    assert list(read_manifest(killed / "manifest.json").stages) == ["search"]


def test_quiet_goes_on_quietly(command, killed, photo_line):
    assert command(*photo_line, "mine", "--quiet").err == ""
