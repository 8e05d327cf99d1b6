"""Stored baselines as files: what is damaged is refused before anything rests on it."""

import json
import math
from pathlib import Path

import pytest

from recycle_pipeline.evaluators.setting import Setting
from recycle_pipeline.evaluators.stored_file import read_stored
from recycle_pipeline.models.errors import CorruptArtefact, UsageFault

FIRST = Path(__file__).parents[1] / "golden" / "outputs" / "gate-baseline.1.json"


@pytest.fixture
def changed(tmp_path):
    """The first baseline that was ever stored, with one value changed or, where it is `...`, taken away."""

    def change(*where, value):
        content = json.loads(FIRST.read_text())
        part = content
        for step in where[:-1]:
            part = part[step]
        if value is ...:
            del part[where[-1]]
        else:
            part[where[-1]] = value
        path = tmp_path / "baseline.json"
        path.write_text(json.dumps(content))
        return path

    return change


def test_the_first_baseline_is_read_still(changed):
    stored = read_stored(changed("date", value="2026-11-28"))
    assert stored.setting == Setting()
    assert json.loads(json.dumps(stored.to_json())) == json.loads(FIRST.read_text())


def test_keys_that_are_not_known_are_passed_over(changed):
    for where in (("more",), ("setting", "more"), ("contrasts", "more"), ("contrasts", "latency", 0, "more")):
        assert read_stored(changed(*where, value=[1])) == read_stored(FIRST)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "1", None, True, [1], ...])
@pytest.mark.parametrize("where", [("contrasts", "latency", 0, "between"), ("median_ms", 0)])
def test_a_number_that_is_none_is_damage(changed, where, value):
    with pytest.raises(CorruptArtefact, match=r"baseline\.json is no stored baseline"):
        read_stored(changed(*where, value=value))


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("contrasts", "latency"), []),
        (("contrasts", "load"), ...),
        (("median_ms",), [0.0, 1.0]),
        (("median_ms",), [1.0]),
        (("memory",), []),
        (("memory",), [-1]),
        (("memory",), [10**400]),
        (("model", "bytes"), 1.5),
        (("model", "path"), 3),
        (("reference", "sha256"), "abc"),
        (("reference",), ...),
        (("setting", "threads"), "1"),
        (("setting", "transfers"), "some"),
        (("setting",), []),
        (("machine",), ["one"]),
        (("date",), 20261128),
        (("kind",), "gate"),
        (("kind",), ...),
    ],
)
def test_whatever_else_is_wrong_is_damage(changed, where, value):
    with pytest.raises(CorruptArtefact) as caught:
        read_stored(changed(*where, value=value))
    assert caught.value.exit_code == 6
    assert "--save FILE.json" in str(caught.value) and len(str(caught.value)) < 300 + len(str(changed))


@pytest.mark.parametrize("schema", [0, 2, "1", None])
def test_another_version_is_named_and_not_guessed_at(changed, schema):
    with pytest.raises(UsageFault, match="this version reads 1; store it again"):
        read_stored(changed("schema", value=schema))


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "[" * 100_000, "\ufeff{}"])
def test_a_file_that_is_no_json_object_is_refused(tmp_path, content):
    (tmp_path / "baseline.json").write_text(content, "utf-8")
    with pytest.raises(CorruptArtefact, match=r"baseline\.json"):
        read_stored(tmp_path / "baseline.json")


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "baseline.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CorruptArtefact, match="no stored baseline"):
        read_stored(tmp_path / "baseline.json")


def test_one_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageFault, match="cannot be read"):
        read_stored(tmp_path / "none.json")
