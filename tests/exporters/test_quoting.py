"""Texts of users stay texts: in YAML, in Markdown, in a fenced block."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recycle_pipeline.exporters.quoting import code_block, markdown_text, yaml_text

yaml = pytest.importorskip("yaml")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_yaml_gives_every_text_back_from_one_line(text):
    quoted = yaml_text(text)
    assert yaml.safe_load(f"- {quoted}\n- 1") == [text, 1]
    assert len(quoted.splitlines()) == 1 and "\n" not in quoted


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("resnet18, width 0.5", "resnet18, width 0.5"),
        ("a\n# b", "a \\# b"),
        ("<script>&", "&lt;script&gt;&amp;"),
        ("<!-- recycle-pipeline: end -->", "&lt;\\!-- recycle-pipeline: end --&gt;"),
        ("x | y", "x \\| y"),
        ("[a](http://b)", "\\[a\\]\\(http:&#47;/b\\)"),
        ("`*_x_*`", "\\`\\*\\_x\\_\\*\\`"),
        ("@all\x00\u2028\x1b[31m", "&#64;all \\[31m"),
    ],
)
def test_markdown_has_no_meaning_of_its_own(text, expected):
    assert markdown_text(text) == expected


@given(st.text())
def test_markdown_is_one_line_without_tags_or_open_cells(text):
    made = markdown_text(text)
    assert len(made.splitlines()) <= 1 and "<" not in made
    assert "|" not in made.replace("\\\\", "").replace("\\|", "")


@given(st.text(alphabet="`a\n~ "))
def test_a_block_cannot_be_left_from_within(text):
    lines = code_block(text, "sh").split("\n")
    fence = lines[0].removesuffix("sh")
    assert lines[-1] == fence and set(fence) == {"`"}
    assert all(fence not in line for line in lines[1:-1])
