"""What is installed is what is here: packages listed, versions equal, links whole."""

import ast
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

from recycle_pipeline.exporters.kernel.build import OPTIONS, build
from recycle_pipeline.models.errors import PackageMissing
from recycle_pipeline.models.kernel_library import VARIABLE, find_library, library_path
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


def test_the_kernels_are_compiled_alike_by_the_installer_and_by_hand():
    said = (ROOT / "setup.py").read_text().split("extra_compile_args=")[1].split("],")[0] + "]"
    assert tuple(ast.literal_eval(said)) == OPTIONS


def test_without_a_compiler_the_kernels_are_missing_and_the_error_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(VARIABLE, str(tmp_path / "none.so"))
    monkeypatch.delenv("CC", raising=False)
    assert find_library() is None
    with pytest.raises(PackageMissing, match="no C compiler here: expected cc, gcc or clang; install one"):
        build(tmp_path / "library.so")
    with pytest.raises(PackageMissing, match=r"run `python -m recycle_pipeline\.exporters\.kernel\.build`"):
        library_path()
    assert not list(tmp_path.iterdir())


def test_every_dependency_says_why():
    lines = (ROOT / "pyproject.toml").read_text().split("dependencies = [")[1].split("\n]")[0].splitlines()
    for before, line in pairwise(["", *lines]):
        assert not line.strip() or "# " in line or before.strip().startswith("# "), line
