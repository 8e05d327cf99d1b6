"""docs/ keeps its word: its commands would start, its Python runs, its links, pictures and records exist."""

import re
import shlex
import subprocess
import sys
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
WALKS = sorted({line for _, block in blocks("bash") for line in block.splitlines()})  # of shell sessions
COMMANDS = [line for line in [*LINES, *WALKS] if line.startswith("recycle-pipeline ")]
UPLOADS = [line for line in LINES if line.startswith("hf ")]
SCRIPTS = [line for line in LINES if line not in (*COMMANDS, *UPLOADS)]
SEARCHES = [line for line in COMMANDS if line.split()[1] in ("run", "search")]


@pytest.mark.parametrize("line", [line for line in COMMANDS if line not in SEARCHES])
def test_a_command_is_understood(line):
    from recycle_pipeline.pipeline.cli.app import cli

    name, *arguments = shlex.split(line)[1:]
    cli.commands[name].make_context(name, arguments)


@pytest.mark.parametrize("line", SEARCHES)
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


@pytest.mark.parametrize(
    ("page", "block"), [b for b in blocks("python") if b[0] not in ("onnx-forms.md", "ci.md")]
)
def test_python_runs(page, block, capsys):
    exec(compile(block, page, "exec"), {})
    size, kept = map(int, capsys.readouterr().out.split())
    assert 0 < kept < size


def test_a_form_is_loaded_as_its_page_says(tmp_path, monkeypatch):
    import recycle_pipeline.pipeline

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("recycle_pipeline.pipeline.stages.verify.LATENCY_SECONDS", 0.0)
    recycle_pipeline.pipeline.run(arch="conv2", epochs=1, export="onnx-compact", output_dir=".")
    [block] = [block for page, block in blocks("python") if page == "onnx-forms.md"]
    names = {}
    exec(compile(block, "onnx-forms.md", "exec"), names)
    assert names["logits"].shape == (1, 10)


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


RECORDS = {path.name for path in (ROOT / "benchmarks" / "records").iterdir()}
BENCHMARKS = (ROOT / "benchmarks" / "README.md").read_text("utf-8")
NAMING = {**PAGES, "README.md": (ROOT / "README.md").read_text("utf-8"), "benchmarks/README.md": BENCHMARKS}


@pytest.mark.parametrize("page", NAMING)
def test_every_record_that_is_named_exists(page):
    assert set(re.findall(r"\d{4}-\d\d-\d\d-[\w-]+\.jsonl?", NAMING[page])) <= RECORDS


def test_every_record_and_every_script_has_a_line_that_says_what_it_is():
    lines = [line for line in BENCHMARKS.splitlines() if line.startswith("|")]
    scripts = {path.name for path in (ROOT / "benchmarks").glob("*.py")}
    for name in sorted(RECORDS | scripts):
        assert any(f"`{name}`" in line for line in lines), name


SCREENSHOTS = {"report.png"}  # of a browser; everything else is drawn from records


def test_every_picture_is_shown_with_words_for_those_who_cannot_see_it():
    shown = {
        path: words
        for page in PAGES.values()
        for words, path in re.findall(r"!\[([^\]]*)\]\((images/[^)]+)\)", page)
    }
    pictures = sorted((ROOT / "docs" / "images").iterdir())
    assert {f"images/{path.name}" for path in pictures} == set(shown)
    for path in pictures:
        assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size < 100_000, path
        assert len(shown[f"images/{path.name}"].split()) > 3, path


def test_one_command_draws_every_picture_but_screenshots(tmp_path):
    pytest.importorskip("matplotlib")
    command = [sys.executable, str(ROOT / "benchmarks" / "plots.py"), "--folder", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    drawn = {path.name for path in tmp_path.iterdir()}
    assert drawn | SCREENSHOTS == {path.name for path in (ROOT / "docs" / "images").iterdir()}


def test_every_method_and_preset_that_can_be_chosen_has_a_place():
    from recycle_pipeline.models.init_scale import SCALE_FANS
    from recycle_pipeline.pipeline.search.settings import REUSES

    text = PAGES["methods.md"]
    for value in (*REUSES, *SCALE_FANS):
        assert re.search(rf"`{value}`|--(reuse|scale-fan) {value}\b", text), value
    for name in PRESETS:  # families are named by their parts
        parts = [name, *name.rsplit("-", 1), re.sub(r"conv\d", "conv2", name)]
        assert any(f"`{part}" in text for part in parts), name
