"""Dependencies have bounds at both ends, a lock that keeps them, and a licence each."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
LOCK = ROOT / ".ci" / "requirements.lock"
LINE = re.compile(
    r"^([A-Za-z0-9._-]+)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)


def requirements():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = (project["dependencies"], *project["optional-dependencies"].values())
    return [Requirement(text) for group in groups for text in group]


def locked():
    return {name: version for name, version, _ in LINE.findall(LOCK.read_text())}


def test_every_dependency_has_a_lower_and_an_upper_bound():
    for requirement in requirements():
        assert {each.operator for each in requirement.specifier} == {">=", "<"}, requirement


def test_the_lock_holds_every_dependency_within_its_bounds_and_every_line_has_hashes():
    versions = locked()
    assert len(versions) == len(re.findall(r"^[a-z]\S*==", LOCK.read_text(), re.MULTILINE)) > 80
    for requirement in requirements():
        assert requirement.specifier.contains(versions[requirement.name.lower().replace("_", "-")])


def test_the_licence_of_every_package_in_the_lock_is_listed():
    rows = re.findall(
        r"^\| (\S+) \| (\S+) \| (.+) \|$", (ROOT / "docs" / "dependencies.md").read_text(), re.M
    )
    assert {name: version for name, version, _ in rows if name not in ("package", "---")} == locked()
