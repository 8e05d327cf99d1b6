"""The plugin in pytest runs of its own, on real models."""

import subprocess
import sys
from importlib.metadata import entry_points
from xml.etree import ElementTree

import pytest

# Where the package is installed as it is now, pytest finds the plugin by itself.
INSTALLED = any(each.name == "recycle-pipeline" for each in entry_points(group="pytest11"))
PLUGIN = [] if INSTALLED else ["-p", "recycle_pipeline.pipeline.ci.pytest_plugin"]
QUICK = """
import recycle_pipeline.evaluators.blocks as module
module.BLOCK_S, module.WARM_UP_S = 0.001, 0.01
"""


@pytest.fixture
def pytest_run(tmp_path, import_path, write_linear):
    """A folder with small.onnx and large.onnx; runs a test file in it."""
    write_linear(tmp_path / "small.onnx", 10)
    write_linear(tmp_path / "large.onnx", 100_000)
    (tmp_path / "conftest.py").write_text(QUICK)

    def run(test, *options):
        (tmp_path / "test_it.py").write_text(test)
        command = [sys.executable, "-m", "pytest", *PLUGIN, "-rA", "-W", "error", *options]
        return subprocess.run(command, cwd=tmp_path, env=import_path, capture_output=True, text=True)

    return run


CALL = "def test_it(recycle_gate):\n    recycle_gate({0})\n"
MARKED = "import pytest\n@pytest.mark.recycle_gate({0})\ndef test_it(recycle_gate):\n    recycle_gate()\n"


def test_a_slower_model_fails_its_test_and_the_numbers_are_in_the_xml(pytest_run, tmp_path):
    test = MARKED.format("candidate='large.onnx', max_slowdown='5%'")
    done = pytest_run(test, "--recycle-baseline", "small.onnx", "--junitxml", "j.xml")
    assert done.returncode == 1, done.stdout
    assert "max_slowdown failed: " in done.stdout
    assert "test_it.py::test_it: failed: max_slowdown" in done.stdout
    properties = ElementTree.parse(tmp_path / "j.xml").iter("property")
    found = {each.get("name"): each.get("value") for each in properties}
    assert found["recycle_outcome"] == "failed"
    assert float(found["recycle_latency_ratio_low"]) > 2


def test_a_folder_gives_each_candidate_the_baseline_of_its_name(pytest_run, write_linear, tmp_path):
    (tmp_path / "main").mkdir()
    write_linear(tmp_path / "main/small.onnx", 10)
    test = CALL.format("'small.onnx', max_slowdown='95%', max_size_increase=0")
    done = pytest_run(test, "--recycle-baseline", "main", "--recycle-on-inconclusive", "pass")
    assert done.returncode == 0, done.stdout
    assert "max_size_increase passed" in done.stdout


@pytest.mark.parametrize(
    ("policy", "code", "word"), [("fail", 1, "FAILED"), ("skip", 0, "SKIPPED"), ("pass", 0, "PASSED")]
)
def test_noise_does_to_a_test_what_was_asked(pytest_run, policy, code, word):
    options = "--recycle-baseline", "small.onnx", "--recycle-time-budget", "0.01"
    done = pytest_run(CALL.format("'small.onnx'"), *options, "--recycle-on-inconclusive", policy)
    assert done.returncode == code, done.stdout
    assert f"{word} " in done.stdout
    assert "test_it.py::test_it: inconclusive: max_slowdown" in done.stdout


def test_without_a_baseline_the_test_is_skipped(pytest_run):
    done = pytest_run(CALL.format("'small.onnx'"))
    assert done.returncode == 0
    assert "no baseline: give --recycle-baseline PATH" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("'none.onnx'", "none.onnx is no file"),
        ("", "was given no candidate"),
        ("'small.onnx', max_slow=1", "does not know max_slow"),
        ("'small.onnx', max_slowdown=5", "did you mean 5% or 0.05"),
        ("'small.onnx', min_top1=0.9", "give --data"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(pytest_run, arguments, message):
    done = pytest_run(CALL.format(arguments), "--recycle-baseline", "small.onnx")
    assert done.returncode == 1
    assert message in done.stdout
