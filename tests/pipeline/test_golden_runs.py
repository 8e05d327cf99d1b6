"""Run folders that past releases left are read by this one. They are never written again."""

import json
import re
import shutil
from pathlib import Path

import pytest

from recycle_pipeline.exporters.ticket.reader import read_verified
from recycle_pipeline.pipeline.manifest import file_digest, read_manifest

RUNS = sorted((Path(__file__).parents[1] / "golden").glob("run-*"))


@pytest.fixture(params=RUNS, ids=lambda path: path.name)
def golden(request, here):
    """A copy, at `mine`."""
    return shutil.copytree(request.param, here / "mine")


def test_there_is_one_of_each_release():
    assert [path.name for path in RUNS] == ["run-0.1.0"]


def test_its_files_are_those_that_it_wrote(golden):
    for entry in read_manifest(golden / "manifest.json").stages.values():
        for name, digest in entry.outputs.items():
            assert file_digest(golden / name) == digest


@pytest.fixture
def pages_without_pictures():
    """In place of the one for other tests: here pictures are drawn."""


def test_it_is_inspected_reported_and_rebuilt(golden, command):
    found = json.loads((golden / "verify.json").read_text())
    assert command("inspect", "mine").code == 0
    facts = json.loads(command("report", "mine", "--format", "json").out)
    assert str(found["accuracy"]["model"]["correct"] / found["n"])[:6] in json.dumps(facts)
    assert command("report", "mine").code == 0
    assert command("reconstruct", "mine", "--output", "weights.safetensors").code == 0
    read_verified(golden / "ticket.safetensors")


def test_its_stages_go_on_from_it(golden, command):
    before = json.loads((golden / "verify.json").read_text())["accuracy"]["reference"]["correct"]
    assert command("export", "mine").code == 0
    assert command("verify", "mine", "--force").code == 0
    assert json.loads((golden / "verify.json").read_text())["accuracy"]["reference"]["correct"] == before


def test_the_same_settings_are_the_same_run(golden, command):
    line = ("--arch", "conv2", "--width", 0.125, "--epochs", 2, "--seed", 7, "--device", "cpu")
    dry = command("search", *line, "--output-dir", "mine", "--dry-run")
    assert dry.code == 0  # another run would be refused
    refused = command("search", *line, "--prune", 0.8, "--output-dir", "mine", "--dry-run")
    assert refused.code == 2 and "holds another run" in refused.err


@pytest.mark.parametrize("file", ["manifest.json", "ticket.safetensors"])
def test_one_of_a_later_release_is_refused_by_its_number_and_not_called_damaged(golden, command, file):
    path = golden / file
    if file == "manifest.json":
        path.write_text(path.read_text().replace('"schema": 1', '"schema": 2', 1))
        outcome, said = command("pack", "mine"), "schema 2"
    else:
        from recycle_pipeline.exporters.ticket.container import opened, packed

        container = opened(path.read_bytes(), "x")
        parts = {name: part.tobytes() for name, part in container.parts.items()}
        path.write_bytes(packed({**container.head, "version": 99}, parts))
        outcome, said = command("inspect", "mine"), "version 99"
    assert outcome.code == 6 and said in outcome.err and "damaged" not in outcome.err
    assert re.search(r"newer|later|up to", outcome.err)
