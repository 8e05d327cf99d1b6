"""Files for CI systems, read back by parsers of their formats."""

import json
import re
from xml.etree import ElementTree

import pytest

from recycle_pipeline.evaluators.gates import Verdict, under
from recycle_pipeline.pipeline.ci.benchmarks import bencher, github_action_benchmark
from recycle_pipeline.pipeline.ci.junit import junit
from recycle_pipeline.pipeline.ci.markdown import markdown
from recycle_pipeline.pipeline.ci.written import write_files


@pytest.mark.parametrize(
    ("ratio", "n", "counts", "tag"),
    [(1.0, 12, ("0", "0"), "system-out"), (1.2, 12, ("1", "0"), "failure"), (1.0, 3, ("0", "1"), "error")],
)
def test_junit_has_a_case_for_each_verdict(report_of, ratio, n, counts, tag):
    root = ElementTree.fromstring(junit("gate", report_of(ratio, n).verdicts, 3.5))
    assert (root.tag, root.get("tests"), root.get("failures"), root.get("errors")) == (
        "testsuite",
        "2",
        *counts,
    )
    case = root.find("testcase[@name='max_slowdown']")
    assert [child.tag for child in case] == [tag]
    assert "of the baseline's" in case[0].text


def test_junit_takes_whatever_a_path_holds():
    verdict = Verdict("min_top1", "failed", 0.1, 0.9, 'a\x00b\x1b <model> & "quotes"')
    root = ElementTree.fromstring(junit("\x07suite", [verdict], 0.0))
    assert root[0][0].text == 'a?b? <model> & "quotes"'


def test_gates_that_nobody_asked_for_are_no_cases():
    verdict = Verdict("min_top1", "not-asked", None, None, "")
    assert ElementTree.fromstring(junit("s", [verdict], 0.0)).get("tests") == "0"


@pytest.mark.parametrize(
    ("ratio", "n", "heading", "speed"),
    [
        (1.0, 12, "passed", "not told apart"),
        (1.2, 12, "FAILED", "slower"),
        (0.5, 12, "passed", "faster"),
        (1.0, 3, "inconclusive", "not told apart"),
    ],
)
def test_the_summary_leads_with_the_verdict_and_carries_n_and_interval(report_of, ratio, n, heading, speed):
    report = report_of(ratio, n)
    text = markdown(report, report.verdicts)
    assert text.startswith(f"### recycle-pipeline gate: {heading}")
    assert f"n = {n} blocks" in text and "interval" in text and speed in text and "> a note" in text
    assert ("faster" in text) == (speed == "faster")


def test_the_summary_follows_the_policy(report_of):
    report = report_of(1.0, 3)
    assert markdown(report, under("pass", report.verdicts)).startswith("### recycle-pipeline gate: passed")


def test_a_name_is_no_markup(report_of):
    report = report_of(1.0, name="<b>*_|x.onnx")
    text = markdown(report, report.verdicts)
    assert "<b>" not in text and r"\*\_\|x.onnx" in text


def test_github_action_benchmark_gets_names_units_and_values(report_of):
    """Its schema for customSmallerIsBetter: name, unit, value; range and extra are texts."""
    found = json.loads(json.dumps(github_action_benchmark(report_of(1.2)), allow_nan=False))
    assert len({entry["name"] for entry in found}) == len(found) == 3
    for entry in found:
        assert {"name", "unit", "value"} <= entry.keys() <= {"name", "unit", "value", "range", "extra"}
        assert isinstance(entry["value"], int | float)
        assert all(isinstance(entry.get(key, ""), str) for key in ("name", "unit", "range", "extra"))
    assert found[0]["value"] == pytest.approx(1.2, rel=0.01)


def test_bencher_gets_a_value_with_its_bounds(report_of):
    """Bencher Metric Format: benchmark, measure, value, and lower_value <= value <= upper_value."""
    found = bencher(report_of(1.2))["model.onnx"]
    assert all(re.fullmatch("[a-z0-9-]+", name) for name in found)
    ratio = found["latency-ratio"]
    assert ratio["lower_value"] <= ratio["value"] <= ratio["upper_value"]
    assert found["latency"]["value"] == pytest.approx(1.2e6, rel=0.01)  # ns


def test_what_was_asked_for_is_written_and_the_summary_is_appended(report_of, tmp_path):
    report = report_of(1.0)
    given = {"junit": tmp_path / "a/j.xml", "markdown": tmp_path / "s.md", "result": tmp_path / "r.json"}
    (tmp_path / "s.md").write_text("before\n")
    write_files(report, report.verdicts, given)
    assert (tmp_path / "s.md").read_text().startswith("before\n### ")
    assert json.loads((tmp_path / "r.json").read_text())["kind"] == "gate"
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["j.xml", "model.onnx", "r.json", "s.md"]
