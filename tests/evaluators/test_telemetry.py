"""ONNX Runtime keeps and sends nothing of what is done here, unless the user asks for it."""

import os
import subprocess
import sys

import onnx
import pytest
from onnx import TensorProto, helper

from recycle_pipeline.models.telemetry import VARIABLE, turn_off

# What CI sets, where ONNX Runtime has no telemetry of its own accord.
OF_CI = (
    *("CI", "GITHUB_ACTIONS", "GITLAB_CI", "TF_BUILD", "BUILD_ID", "BUILD_NUMBER", "JENKINS_URL", "CIRCLECI"),
    *("TRAVIS", "APPVEYOR", "BUILDKITE", "BITBUCKET_BUILD_NUMBER", "CODEBUILD_BUILD_ID", "TEAMCITY_VERSION"),
    "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI",
)
OPENED = """
import sys
from recycle_pipeline.{package} import {module}
import onnxruntime
onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
"""


@pytest.fixture
def left(tmp_path, import_path):
    """What a process that opens a model leaves in the user's cache and the temporary folder."""
    items = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 3)) for name in ("images", "logits")]
    graph = helper.make_graph([helper.make_node("Relu", ["images"], ["logits"])], "g", items[:1], items[1:])
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "model.onnx")
    places = {"HOME": "home", "TMPDIR": "temporary", "XDG_CACHE_HOME": "home/.cache"}

    def files(package, module, **said):
        known = {key: value for key, value in import_path.items() if key not in (*OF_CI, VARIABLE)}
        for key, name in places.items():
            (tmp_path / name).mkdir(parents=True, exist_ok=True)
            known[key] = str(tmp_path / name)
        line = [sys.executable, "-c", OPENED.format(package=package, module=module)]
        line.append(str(tmp_path / "model.onnx"))
        subprocess.run(line, env=known | said, check=True)
        return [path for name in places.values() for path in (tmp_path / name).rglob("*") if path.is_file()]

    return files


@pytest.mark.parametrize(
    ("package", "module"), [("evaluators", "session"), ("exporters.onnx", "activations"), ("pipeline", "run")]
)
def test_nothing_is_kept_of_a_session(left, package, module):
    assert left(package, module) == []


def test_where_it_is_on_something_is_kept(left):
    """So that the test above sees what it looks for; a session ends before anything is sent."""
    if not left("models", "telemetry", **{VARIABLE: "0"}):
        pytest.skip("this onnxruntime has no telemetry")


def test_what_the_user_says_stays(monkeypatch):
    monkeypatch.setenv(VARIABLE, "0")
    turn_off()
    assert os.environ[VARIABLE] == "0"
    monkeypatch.delenv(VARIABLE)
    turn_off()
    assert os.environ[VARIABLE] == "1"
