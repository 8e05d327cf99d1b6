"""README's promises about itself: its commands parse, its files exist, its Python runs."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def _commands() -> list[str]:
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", README, re.DOTALL)
    lines = [line.removeprefix("$ ").strip() for block in blocks for line in block.splitlines()]
    return sorted({line for line in lines if line.startswith("recycle-pipeline ")})


def test_there_are_commands_to_check():
    assert "recycle-pipeline run --arch resnet18 --prune 0.9 --export onnx" in _commands()


@pytest.mark.parametrize("command", _commands())
def test_a_command_of_the_readme_is_understood(command):
    """Parsed by click with all its options, up to the point where it would start."""
    from recycle_pipeline.pipeline.cli.app import cli

    name, *arguments = shlex.split(command, comments=True)[1:]
    cli.commands[name].make_context(name, arguments)


def test_links_of_the_readme_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("name", ["setup", "run", "test"])
def test_the_blocks_that_ci_runs_are_there(name):
    assert f"<!-- ci: {name} -->" in README


def test_nothing_was_left_to_fill_in():
    assert "@@" not in README


def test_set_up_takes_two_commands():
    block = re.search(r"<!-- ci: setup -->\s*```\w*\n(.*?)```", README, re.DOTALL)
    assert block is not None and len(block.group(1).strip().splitlines()) == 2
