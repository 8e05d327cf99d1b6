"""doctor: what it looks at, and what each thing missing looks like with its cure."""

import json
import sys

import pytest

from recycle_pipeline.pipeline import diagnosis, environment
from recycle_pipeline.pipeline.diagnosis import Finding, diagnose


@pytest.fixture
def installed(monkeypatch):
    """Pretends that these versions are installed; None is not installed."""
    real = environment.installed_version

    def pretend(**versions):
        named = {name.replace("_", "-"): version for name, version in versions.items()}
        monkeypatch.setattr(diagnosis, "installed_version", lambda name: named.get(name, real(name)))

    return pretend


def finding(what):
    return next(found for found in diagnose() if found.what == what)


def test_everything_here_works_and_doctor_says_so(command):
    outcome = command("doctor")
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[0].startswith("ok       recycle-pipeline: 0.1.0, Python 3.")
    assert "ok       provider cpu: CPUExecutionProvider computes" in lines
    assert "MISSING" not in outcome.out
    assert any(line.startswith("ok       data root: ") and "digits needs none" in line for line in lines)


def test_doctor_as_json_is_json_alone(command):
    outcome = command("doctor", "--json")
    facts = json.loads(outcome.out)
    assert outcome.code == 0 and set(facts) == {"python", "findings"}
    assert [found["what"] for found in facts["findings"]] == [found.what for found in diagnose()]
    assert all(set(found) == {"what", "status", "text", "advice"} for found in facts["findings"])


def test_a_missing_package_is_exit_1_with_the_command_that_installs_it(command, installed):
    installed(tomli_w=None)
    outcome = command("doctor")
    assert outcome.code == 1
    assert "MISSING  tomli-w: not installed\n         -> pip install tomli-w\n" in outcome.out


def test_the_cpu_runtime_in_place_of_the_gpu_one_is_a_note(installed):
    installed(onnxruntime_gpu=None, onnxruntime="1.2.3")
    found = finding("onnxruntime-gpu")
    assert (found.status, found.text) == ("note", "onnxruntime 1.2.3 is there instead: CPU only")


def test_both_runtimes_at_once_are_a_fault(installed):
    installed(onnxruntime_gpu="1.2.3", onnxruntime="1.2.3")
    found = finding("onnxruntime")
    assert (
        found.status == "missing" and "overwrite each other" in found.text and "pip uninstall" in found.advice
    )


def test_a_torchvision_that_does_not_fit_torch_is_a_fault(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)  # importing it raises ImportError
    found = finding("torch + torchvision")
    assert found.status == "missing" and found.text.startswith("torchvision does not import: ")
    assert "pip install --force-reinstall torch torchvision" in found.advice


def test_neither_runtime_is_a_fault(installed):
    installed(onnxruntime_gpu=None, onnxruntime=None)
    assert finding("onnxruntime-gpu") == Finding(
        "onnxruntime-gpu", "missing", "not installed", "pip install onnxruntime-gpu"
    )


def test_what_cannot_work_is_said_with_advice(command):
    for found in json.loads(command("doctor", "--json").out)["findings"]:
        assert found["status"] == "ok" or found["advice"]


def test_the_environment_of_a_manifest_is_plain_json():
    described = environment.describe_environment()
    assert json.loads(json.dumps(described)) == described
    assert set(described) == {
        "recycle-pipeline",
        "python",
        "platform",
        "cpu",
        "cores",
        "torch_threads",
        "gpus",
        "packages",
    }
    assert described["packages"]["torch"] == environment.installed_version("torch")
    assert described["torch_threads"] == 1


def test_a_package_that_is_not_there_has_no_version():
    assert environment.installed_version("no-such-distribution-0") is None


def test_what_is_compiled_is_said(tmp_path, monkeypatch):
    said = {found.what: found for found in diagnose()}
    assert {said[name].status for name in ("kernels", "ticket loops")} <= {"ok", "note"}
    monkeypatch.setenv("RECYCLE_PIPELINE_KERNELS", str(tmp_path / "none.so"))
    monkeypatch.setenv("RECYCLE_PIPELINE_LOOPS", "numpy")
    said = {found.what: found for found in diagnose()}
    assert (said["kernels"].status, said["kernels"].text) == (
        "note",
        "not compiled: no onnx-kernel and onnx-kernel-fp32",
    )
    assert said["kernels"].advice.endswith("python -m recycle_pipeline.exporters.kernel.build")
    assert (said["ticket loops"].status, said["ticket loops"].advice) == ("note", "")
    assert said["ticket loops"].text == "numpy's, as RECYCLE_PIPELINE_LOOPS asks for"
    monkeypatch.setenv("RECYCLE_PIPELINE_LOOPS", str(tmp_path / "none.so"))
    unusable = finding("ticket loops")
    assert unusable.status == "missing" and "cannot be used" in unusable.text
