"""docs/ keeps its word: its commands would start, its Python runs, its links and records exist."""

import re
import shlex
from pathlib import Path

import pytest

from recycle_pipeline.pipeline.presets import PRESETS

ROOT = Path(__file__).parent.parent
PAGES = {path.name: path.read_text("utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}


def blocks(language):
    return [
        (name, block)
        for name, text in PAGES.items()
        for block in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    ]


LINES = sorted({line for _, block in blocks("sh") for line in block.splitlines()})
COMMANDS = [line for line in LINES if line.startswith("recycle-pipeline ")]
SCRIPTS = [line for line in LINES if line not in COMMANDS]


@pytest.mark.parametrize("line", [c for c in COMMANDS if " presets" not in c])
def test_a_command_starts_with_settings_that_go_together(line, tmp_path, monkeypatch, capsys):
    from recycle_pipeline.pipeline.cli import main

    monkeypatch.chdir(tmp_path)
    name, *arguments = shlex.split(line)[1:]
    arguments = ["cpu" if argument == "cuda" else argument for argument in arguments]
    with pytest.raises(SystemExit) as stop:
        main([name, *arguments, "--dry-run"])
    assert (stop.value.code, capsys.readouterr().err) == (0, "")


def test_every_other_line_is_a_script_that_is_there():
    assert "recycle-pipeline presets" in COMMANDS
    for line in SCRIPTS:
        python, script, *_ = line.split()
        assert python == "python" and (ROOT / script).is_file(), line


@pytest.mark.parametrize(("page", "block"), blocks("python"))
def test_python_runs(page, block, capsys):
    exec(compile(block, page, "exec"), {})
    size, kept = map(int, capsys.readouterr().out.split())
    assert 0 < kept < size


def anchors(text):
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", PAGES[page]):
        path, _, anchor = target.partition("#")
        assert (ROOT / "docs" / path).exists(), target
        if anchor:
            assert anchor in anchors(PAGES[path or page]), target


def test_every_record_that_is_named_exists():
    named = re.findall(r"`(\d{4}-\d\d-\d\d-[\w-]+\.json)`", PAGES["results.md"])
    assert named
    for name in named:
        assert (ROOT / "benchmarks" / "records" / name).is_file(), name


def test_every_method_and_preset_that_can_be_chosen_has_a_place():
    from recycle_pipeline.models.init_scale import SCALE_FANS
    from recycle_pipeline.pipeline.search.settings import REUSES

    text = PAGES["methods.md"]
    for value in (*REUSES, *SCALE_FANS):
        assert re.search(rf"`{value}`|--(reuse|scale-fan) {value}\b", text), value
    for name in PRESETS:  # families are named by their parts
        parts = [name, *name.rsplit("-", 1), re.sub(r"conv\d", "conv2", name)]
        assert any(f"`{part}" in text for part in parts), name
