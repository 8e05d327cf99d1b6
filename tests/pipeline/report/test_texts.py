"""Markdown that can be pasted, and JSON that programs can rely on."""

import json
import math
import re

import pytest

from recycle_pipeline.pipeline.report.collect import read_runs
from recycle_pipeline.pipeline.report.json_form import to_json
from recycle_pipeline.pipeline.report.markdown import to_markdown

RUN_KEYS = {
    *("name", "settings", "data", "data_digest", "verdict", "missing", "search", "network", "sizes"),
    *("verified", "shrinking", "environments", "stages", "files", "commands", "notes"),
}


def cells(line):
    return re.split(r"(?<!\\)\|", line)[1:-1]


@pytest.fixture(params=["one", "several"])
def markdown(request, read):
    return to_markdown([read.facts] * (1 if request.param == "one" else 2))


def test_every_row_of_a_table_has_as_many_cells_as_its_heading(markdown):
    tables = re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE)
    assert tables
    for table in tables:
        assert len({len(cells(line)) for line in table.splitlines()}) == 1, table


def test_tables_stand_apart_so_that_they_are_read_as_tables(markdown):
    for before, line in zip(markdown.splitlines(), markdown.splitlines()[1:], strict=False):
        if line.startswith("|") and not before.startswith("|"):
            assert before == ""
        if line.startswith("<") or before.startswith("<"):
            assert "" in (before, line), (before, line)
    assert markdown.count("<details>") == markdown.count("</details>")


def test_the_verdict_comes_first(read):
    assert to_markdown([read.facts]).splitlines()[0] == "### \u2705 Passed: mine"


def test_a_number_stands_beside_its_n_and_interval(read):
    text = to_markdown([read.facts])
    assert re.search(
        r"\*\*[\d.]+%\*\* \| .* \| 95% interval [\d.]+% to [\d.]+%, n = 364 test images \|", text
    )


def test_names_are_no_mark_up(hostile_run):
    runs = [run.facts for run in read_runs([hostile_run])]
    for text in (to_markdown(runs), to_markdown(runs * 2)):
        assert "<script>" not in text and "<img" not in text and "</svg>" not in text


def test_json_says_what_it_is_and_has_these_keys(read):
    """A key that goes or changes its meaning needs a new schema; one that is added does not."""
    found = json.loads(json.dumps(to_json([read.facts])))
    assert (found["kind"], found["schema"], found["comparison"]) == ("recycle-pipeline report", 1, None)
    (run,) = found["runs"]
    assert run.keys() == RUN_KEYS
    assert run["verdict"].keys() == {"outcome", "sentence", "gates"}
    assert run["verified"]["forms"][0]["top1"].keys() == {"value", "n", "of", "low", "high"}
    assert run["verified"]["latency"]["models"][0].keys() == {
        *("name", "kind", "rounds", "median", "p90", "p95", "p99", "settled"),
    }
    assert run["verified"]["latency"]["ratios"][0].keys() == {
        *("form", "baseline", "ratio", "median_ms", "baseline_ms"),
    }


def test_json_of_several_runs_has_a_comparison(read):
    found = to_json([read.facts, read.facts])
    assert len(found["runs"]) == 2
    (group,) = found["comparison"]["groups"]
    assert group["points"][0].keys() == {"run", "form", "top1", "bytes", "latency_ms", "better", "sure"}


def test_json_is_json(read):
    """Finite numbers alone: NaN is none."""
    text = json.dumps(to_json([read.facts, read.facts]), allow_nan=False)

    def floats(value):
        if isinstance(value, dict | list):
            for each in value.values() if isinstance(value, dict) else value:
                yield from floats(each)
        elif isinstance(value, float):
            yield value

    assert all(math.isfinite(value) for value in floats(json.loads(text)))
