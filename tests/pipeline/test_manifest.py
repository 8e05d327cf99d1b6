"""manifest.json: there and back, every way to be wrong, and what a stage's key depends on."""

import dataclasses
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recycle_pipeline.models.errors import CorruptArtefact
from recycle_pipeline.pipeline.manifest import (
    SCHEMA,
    Manifest,
    StageEntry,
    file_digest,
    read_manifest,
    stage_key,
    write_manifest,
)

ENTRY = StageEntry(
    key="k",
    config={"epochs": 3, "export": ["onnx"]},
    inputs={"data": "d"},
    outputs={"ticket.safetensors": "o"},
    started="2026-01-02T03:04:05+00:00",
    seconds=1.5,
    environment={"gpu": None},
    facts={"kept": 7},
)


def test_a_manifest_reads_back(tmp_path):
    manifest = Manifest({"search": ENTRY, "pack": dataclasses.replace(ENTRY, key="other")})
    write_manifest(manifest, tmp_path / "manifest.json")
    assert read_manifest(tmp_path / "manifest.json") == manifest


def test_where_no_manifest_is_nothing_was_done(tmp_path):
    assert read_manifest(tmp_path / "manifest.json") == Manifest({})


def content(**changes):
    return json.dumps({"schema": SCHEMA, "stages": {"search": dataclasses.asdict(ENTRY) | changes}})


DAMAGES = {
    "cut short": content()[:-20],
    "empty": "",
    "not JSON": "stages:",
    "a list": "[]",
    "no schema": '{"stages": {}}',
    "no stages": '{"schema": 1}',
    "schema of another type": '{"schema": "1", "stages": {}}',
    "stages of another type": '{"schema": 1, "stages": []}',
    "a field too many": content(extra=1),
    "a field too few": json.dumps({"schema": 1, "stages": {"search": {"key": "k"}}}),
    "nested too deep": "[" * 100_000,
}


@pytest.mark.parametrize("text", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_manifest_is_refused_with_its_name_and_what_to_do(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(
        CorruptArtefact, match=r"manifest\.json is damaged \(.*remove it to start the run again"
    ):
        read_manifest(tmp_path / "manifest.json")


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "manifest.json").write_bytes(b'{"schema": 1, "stages": {"\xff": 1}}')
    with pytest.raises(CorruptArtefact, match="is damaged"):
        read_manifest(tmp_path / "manifest.json")


@pytest.mark.parametrize(
    "changes",
    [{"outputs": None}, {"outputs": ["a"]}, {"config": None}, {"facts": []}, {"seconds": "long"}],
    ids=str,
)
def test_a_field_of_another_type_is_refused(tmp_path, changes):
    (tmp_path / "manifest.json").write_text(content(**changes))
    with pytest.raises(CorruptArtefact, match="is damaged"):
        read_manifest(tmp_path / "manifest.json")


def test_a_later_schema_is_refused_and_not_called_damaged(tmp_path):
    (tmp_path / "manifest.json").write_text('{"schema": 2, "stages": {}}')
    message = r"manifest\.json has schema 2, this recycle-pipeline reads up to 1: install a newer one$"
    with pytest.raises(CorruptArtefact, match=message):
        read_manifest(tmp_path / "manifest.json")


KEYED = {
    "stage": "search",
    "schema": 1,
    "tool_version": "0.1.0",
    "config": {"epochs": 3, "arch": "conv2"},
    "inputs": {"data": "d", "arch": "a"},
}


@pytest.mark.parametrize(
    "change",
    [
        {"stage": "pack"},
        {"schema": 2},
        {"tool_version": "0.1.1"},
        {"config": {"epochs": 4, "arch": "conv2"}},
        {"config": {"epochs": 3}},
        {"inputs": {"data": "e", "arch": "a"}},
        {"inputs": {"data": "d"}},
    ],
    ids=str,
)
def test_a_key_changes_with_each_of_its_parts(change):
    assert stage_key(**KEYED | change) != stage_key(**KEYED)


def test_a_key_changes_with_nothing_else():
    """Not with the order of settings, nor from process to process: its value is pinned."""
    reordered = KEYED | {"config": {"arch": "conv2", "epochs": 3}, "inputs": {"arch": "a", "data": "d"}}
    assert stage_key(**reordered) == stage_key(**KEYED)
    assert stage_key(**KEYED) == "00140a392c9214fddecc25e80f961909a447968049913e5079bcabb5daeae62a"


def test_a_tuple_and_the_list_it_is_stored_as_have_one_key():
    tuples, lists = ({"export": kind(["onnx"])} for kind in (tuple, list))
    assert stage_key("export", 1, "v", tuples, {}) == stage_key("export", 1, "v", lists, {})


@given(st.binary(max_size=100))
def test_a_files_digest_is_its_sha256(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("digest") / "file"
    path.write_bytes(data)
    assert file_digest(path) == hashlib.sha256(data).hexdigest()


def test_the_manifest_of_a_run_says_what_each_stage_did(finished):
    stages = read_manifest(finished.folder.manifest).stages
    assert list(stages) == ["search", "pack", "export", "verify"]
    assert stages == finished.stages
    for entry in stages.values():
        assert {"recycle-pipeline", "python", "packages", "cpu", "gpus"} <= set(entry.environment)
        assert entry.seconds > 0 and entry.started.endswith("+00:00")
        for name, digest in entry.outputs.items():
            assert file_digest(finished.folder.root / name) == digest
