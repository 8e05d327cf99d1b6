"""What commands print is what the schema documents say: no key undescribed, no promise broken."""

import copy
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from recycle_pipeline.evaluators import blocks, report, stored, verify_models
from recycle_pipeline.evaluators.bench_report import SCHEMA as BENCH
from recycle_pipeline.evaluators.gate_report import SCHEMA as GATE
from recycle_pipeline.pipeline.report.json_form import SCHEMA as REPORT
from recycle_pipeline.pipeline.schemas import schema, schema_names, schema_text

GOLDEN = Path(__file__).parents[1] / "golden" / "outputs"
VERSIONS = {
    **{"bench": BENCH, "gate": GATE, "gate-baseline": stored.SCHEMA, "report": REPORT, "run": 1},
    **{"verify": report.SCHEMA, "verify-models": verify_models.SCHEMA},
}


def strict(node):
    """The same schema, with keys that it does not describe refused."""
    if isinstance(node, list):
        return [strict(each) for each in node]
    if not isinstance(node, dict):
        return node
    found = {name: strict(each) for name, each in node.items()}
    return found | ({"additionalProperties": False} if "properties" in node and "type" in node else {})


def errors(name, content, *, closed=True):
    document = strict(schema(name)) if closed else schema(name)
    return [f"{e.json_path}: {e.message[:200]}" for e in Draft202012Validator(document).iter_errors(content)]


@pytest.fixture
def outputs(command, run_copy, monkeypatch):
    """What every command prints or leaves, of one run: by the name of its schema."""
    monkeypatch.setattr(blocks, "BLOCK_S", 0.001)
    monkeypatch.setattr(blocks, "WARM_UP_S", 0.01)
    model = run_copy / "onnx/model.onnx"
    pair = "--baseline", model, "--candidate", model, "--time-budget", "0.5", "--max-load-increase", "90%"
    more = "--max-memory-increase", "90%", "--max-size-increase", "0", "--data", "digits", "--min-top1", "1%"
    lines = {
        "bench": ("bench", model, model, "--seconds", "0", "--json", "--quiet"),
        "gate": ("gate", *pair, *more, "--max-slowdown", "90%", "--json", "--quiet"),
        "gate-baseline": ("gate", "--candidate", model, "--save", "b.json", "--time-budget", "0.5", "--json"),
        "report": ("report", "mine", "--format", "json"),
        "run": ("verify", "mine", "--json", "--quiet"),
        "verify-models": ("verify", model, "--max-accuracy-drop", "0.01", "--json"),
    }
    found = {name: json.loads(command(*line).out) for name, line in lines.items()}
    return found | {"verify": json.loads((run_copy / "verify.json").read_text())}


def test_every_output_is_as_its_schema_says_and_every_key_is_described(outputs):
    assert set(outputs) == set(VERSIONS) == set(schema_names())
    assert {name: errors(name, content) for name, content in outputs.items()} == {
        name: [] for name in outputs
    }


FIRST = {path.name.split(".")[0]: json.loads(path.read_text()) for path in sorted(GOLDEN.glob("*.json"))}


def test_a_schema_refuses_what_a_reader_would_trip_over():
    for name, content in FIRST.items():
        assert all(
            errors(name, {k: v for k, v in content.items() if k != key}) for key in schema(name)["required"]
        )
        for key, value in (("schema", 2), ("schema", "1"), ("kind", "other")):
            assert errors(name, content | {key: value}, closed=False), (name, key)
        assert not errors(name, content | {"new": 1}, closed=False), "keys may be added"
    gate = copy.deepcopy(FIRST["gate"])
    gate["judgements"]["latency"]["speed"] = "quicker"
    gate["verdicts"][0]["value"] = "1.0"
    del gate["median_ms"]["candidate"]["n"]
    assert len(errors("gate", gate)) == 3


def test_one_block_bounds_nothing_and_is_still_what_the_schema_says(command, run_copy, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_S", 0.001)
    model = run_copy / "onnx/model.onnx"
    line = "--baseline", model, "--candidate", model, "--time-budget", "0.01", "--json", "--quiet"
    found = json.loads(command("gate", *line).out)
    assert found["median_ms"]["candidate"]["low"] is None
    assert errors("gate", found) == []


@pytest.mark.parametrize("name", VERSIONS)
def test_a_document_is_sound_and_says_its_version_and_its_promise(name):
    document = schema(name)
    Draft202012Validator.check_schema(document)
    assert document["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    assert document["$id"] == f"urn:recycle-pipeline:{name}:{VERSIONS[name]}"
    assert document["properties"]["schema"] == {"const": VERSIONS[name]}
    assert "Keys may be added: ignore those that you do not know" in document["description"]


def test_what_two_documents_define_they_define_alike():
    seen = {}
    for name in schema_names():
        for part, definition in schema(name)["$defs"].items():
            assert seen.setdefault(part, definition) == definition, (name, part)


def test_what_schema_1_said_when_it_was_first_written_it_says_still():
    """Of these files only the samples were cut. None is ever written again: see CONTRIBUTING.md."""
    assert {name: errors(name, content) for name, content in FIRST.items()} == {name: [] for name in VERSIONS}


def test_the_command_prints_a_document_and_their_names(command):
    assert command("schema").out.split() == schema_names()
    assert command("schema", "gate").out.rstrip() == schema_text("gate").rstrip()
    refused = command("schema", "gates")
    assert (refused.code, "expected one of bench, gate" in refused.err) == (2, True)
