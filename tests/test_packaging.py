"""What is installed is what is here: packages listed, versions equal, links whole."""

import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

from recycle_pipeline.pipeline.version import VERSION

ROOT = Path(__file__).parent.parent
FOLDERS = ("models", "exporters", "evaluators", "pipeline")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_package_folder_is_listed():
    found = {
        "recycle_pipeline." + path.parent.relative_to(ROOT).as_posix().replace("/", ".")
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert found == set(PROJECT["tool"]["setuptools"]["packages"])


def test_every_folder_with_code_is_a_package():
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            assert (path.parent / "__init__.py").is_file(), path


def test_the_version_is_stated_once_in_two_places():
    assert PROJECT["project"]["version"] == VERSION


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_development_links_lead_to_the_folders(folder):
    link = ROOT / ".dev" / "recycle_pipeline" / folder
    assert link.is_symlink() and link.resolve() == ROOT / folder


def test_every_dependency_says_why():
    lines = (ROOT / "pyproject.toml").read_text().split("dependencies = [")[1].split("\n]")[0].splitlines()
    for before, line in pairwise(["", *lines]):
        assert not line.strip() or "# " in line or before.strip().startswith("# "), line
