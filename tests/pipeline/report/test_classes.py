"""Accuracy of each class: counted, with its interval, in words and in a picture; absent where not known."""

import dataclasses
import re

import pytest

from recycle_pipeline.evaluators.accuracy import wilson
from recycle_pipeline.pipeline.report.collect import read_runs
from recycle_pipeline.pipeline.report.estimate import proportion
from recycle_pipeline.pipeline.report.figures.classes import classes_chart
from recycle_pipeline.pipeline.report.figures.rows import MOST
from recycle_pipeline.pipeline.report.html import run_page
from recycle_pipeline.pipeline.report.markdown import to_markdown
from recycle_pipeline.pipeline.report.tables import class_rows
from recycle_pipeline.pipeline.report.words import percent


def of_classes(verified, names, found):
    form = dataclasses.replace(verified.forms[0], per_class=tuple(found))
    return dataclasses.replace(verified, classes=tuple(names), forms=(form, *verified.forms[1:]))


def test_a_row_for_each_class_has_its_count_and_wilsons_interval(read):
    rows = class_rows(read.facts)
    assert [row[0] for row in rows] == [str(digit) for digit in range(10)]
    assert sum(int(row[1]) for row in rows) == read.facts.verified.torch.n == 364
    right = sum(int(row[2]) for row in rows)
    assert right == round(read.facts.verified.forms[0].top1.value * 364)
    low, high = wilson(int(rows[3][2]), int(rows[3][1]))
    assert rows[3][4] == f"{percent(low)} to {percent(high)}"


def test_the_page_has_the_table_the_picture_and_the_worst_class_in_words(read, parsed):
    root = parsed(run_page(read))
    (table,) = [t for t in root.all("table") if t.children[0].text.startswith("Accuracy of each class")]
    assert len(table.all("tr")) == 11
    (figure,) = [f for f in root.all("figure") if f.attributes.get("id") == "classes"]
    (picture,) = [d for d in figure.all("div") if d.attributes.get("role") == "img"]
    worst = min(read.facts.verified.forms[0].per_class, key=lambda each: each.value)
    assert percent(worst.value) in picture.attributes["aria-label"]
    assert f"n = {worst.n} test images" in picture.attributes["aria-label"]
    assert "Accuracy by class: 10 classes" in to_markdown([read.facts])


def test_of_very_many_classes_the_worst_are_drawn_and_the_table_is_folded(read, parsed):
    found = [proportion(min(1.0, (i + 1) / 200), 200) for i in range(300)]
    verified = of_classes(read.facts.verified, [f"class {i}" for i in range(300)], found)
    chart = classes_chart(verified)
    assert f"The {MOST} worst of 300 classes" in chart.caption
    assert "class 0<" in chart.svg and "class 299<" not in chart.svg
    page = run_page(dataclasses.replace(read, facts=dataclasses.replace(read.facts, verified=verified)))
    (table,) = [
        t for t in parsed(page).all("table") if t.children[0].text.startswith("Accuracy of each class")
    ]
    assert table.inside("details")


def test_a_class_without_images_has_a_row_and_no_point(read):
    verified = of_classes(read.facts.verified, ["a", "b"], [None, proportion(0.5, 10)])
    assert class_rows(dataclasses.replace(read.facts, verified=verified))[0] == ("a", "0", *("\u2013",) * 3)
    assert "1 classes" in classes_chart(verified).alt


@pytest.mark.parametrize("missing", ["per_class", "classes"])
def test_a_verify_json_of_before_has_no_classes_and_the_page_no_hole(run_copy, change_verify, missing):
    def edit(content):
        del content[missing]
        content.pop("top5")
        for key in ("sessions", "session_medians_ms", "median_low_ms", "median_high_ms"):
            del content["latency"]["model"][key]

    change_verify(edit)
    [run] = read_runs([run_copy])
    page = run_page(run)
    assert 'id="classes"' not in page and "Accuracy of each class" not in page
    assert run.facts.verified.latency.models[0].median.of == "rounds"
    assert re.search(r"between order\s+statistics", page)
