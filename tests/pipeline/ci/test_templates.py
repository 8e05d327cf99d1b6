"""The GitHub Action's script runs as GitHub would run it; the GitLab component is what GitLab reads."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from recycle_pipeline.pipeline.cli.gate import gate

ROOT = Path(__file__).parents[3]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
STEPS = ACTION["runs"]["steps"]


def options_of(text):
    """Parsed by the command: a name that is not there is refused."""
    words = shlex.split(text)
    return gate.make_context("gate", words[words.index("gate") + 1 :]).params


@pytest.fixture
def act(tmp_path, import_path):
    """Runs the action's gate step with these inputs; `recycle-pipeline` says what it was given."""
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "recycle-pipeline"

    def run(code=0, **inputs):
        command.write_text(
            f"#!{sys.executable}\nimport json, pathlib, sys\n"
            "json.dump(sys.argv[1:], open('given.json', 'w'))\n"
            "result = pathlib.Path(sys.argv[sys.argv.index('--result') + 1])\n"
            "result.parent.mkdir(exist_ok=True)\n"
            "found = {'outcome': 'failed', 'judgements': {'latency': {'ratio': 1.25}}}\n"
            "result.write_text(json.dumps(found))\n"
            f"sys.exit({code})\n"
        )
        command.chmod(0o755)
        values = {name: about.get("default", "") for name, about in ACTION["inputs"].items()} | inputs
        environment = {
            name: values[text.removeprefix("${{ inputs.").removesuffix(" }}")]
            for name, text in STEPS[1]["env"].items()
        }
        environment |= {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"), "GITHUB_OUTPUT": "output.txt"}
        path = f"{command.parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEPS[1]["run"]],
            env=import_path | environment | {"PATH": path},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        return done

    return run


def given(tmp_path):
    import json

    return json.loads((tmp_path / "given.json").read_text())


def test_every_input_reaches_the_script_as_a_variable():
    used = {text for step in STEPS for text in step.get("env", {}).values()}
    used |= {step["if"].split(" ==")[0] + " }}" for step in STEPS if "if" in step}
    assert {f"${{{{ inputs.{name} }}}}" for name in ACTION["inputs"]} <= used
    assert not any("${{" in step["run"] for step in STEPS), "text of an input would be run as a script"


def test_the_action_gives_options_that_the_command_knows(act, tmp_path):
    done = act(candidate="a b.onnx", baseline="main.onnx", data="digits", **{"max-accuracy-drop": "1%"})
    assert done.returncode == 0, done.stderr
    parsed = gate.make_context("gate", given(tmp_path)[1:]).params
    assert str(parsed["candidate"]) == "a b.onnx"
    assert (parsed["max_slowdown"], parsed["max_accuracy_drop"], parsed["max_size_increase"]) == (
        0.05,
        0.01,
        None,
    )
    assert (tmp_path / "output.txt").read_text() == "outcome=failed\nratio=1.2500\n"


def test_further_options_come_one_a_line(act, tmp_path):
    act(candidate="a.onnx", baseline="b.onnx", arguments="--threads\n2\n\n--quiet")
    assert given(tmp_path)[-3:] == ["--threads", "2", "--quiet"]


@pytest.mark.parametrize("code", [5, 7])
def test_the_exit_code_of_the_gate_is_that_of_the_step(act, code):
    assert act(code, candidate="a.onnx", baseline="b.onnx").returncode == code


def test_text_in_an_input_is_no_script(act, tmp_path):
    act(candidate="$(touch hacked).onnx", baseline="`touch hacked`", arguments="; touch hacked")
    assert not (tmp_path / "hacked").exists()


def test_the_gitlab_component_has_the_inputs_that_it_uses_and_a_command_that_is_understood():
    spec, jobs = yaml.safe_load_all((ROOT / "templates/gate.yml").read_text("utf-8"))
    job = jobs["recycle-pipeline-gate"]
    text = str(jobs)
    assert {f"$[[ inputs.{name} ]]" for name in spec["spec"]["inputs"]} == {
        f"$[[ inputs.{part.split(' ]]')[0]} ]]" for part in text.split("$[[ inputs.")[1:]
    }
    (script,) = job["script"]
    values = {"$[[ inputs.arguments ]]": "--threads 2", '"$MAX_SLOWDOWN"': "5%", '"$TIME_BUDGET"': "60"}
    for name, value in values.items():
        script = script.replace(name, value)
    assert options_of(script)["threads"] == 2
    assert job["allow_failure"]["exit_codes"] == [7]
    assert job["artifacts"]["reports"]["junit"] in script
