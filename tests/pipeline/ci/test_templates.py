"""The GitHub Action's script runs as GitHub would run it; the GitLab component is what GitLab reads."""

import json
import os
import re
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
YAML = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "ci.md").read_text("utf-8"), re.DOTALL)


def options_of(text):
    """Parsed by the command: a name that is not there is refused."""
    words = shlex.split(text)
    return gate.make_context("gate", words[words.index("gate") + 1 :]).params


REAL = f"""#!{sys.executable}
import recycle_pipeline.evaluators.blocks as module
from recycle_pipeline.pipeline.cli import main
module.BLOCK_S, module.WARM_UP_S = 0.001, 0.01
main()
"""
SAYS = f"""#!{sys.executable}
import json, pathlib, sys
json.dump(sys.argv[1:], open('given.json', 'w'))
result = pathlib.Path(sys.argv[sys.argv.index('--result') + 1])
result.parent.mkdir(exist_ok=True)
found = {{'outcome': 'failed', 'judgements': {{'latency': {{'ratio': 1.25}}}}}}
result.write_text(json.dumps(found))
sys.exit(CODE)
"""


@pytest.fixture
def act(tmp_path, import_path):
    """Runs the action's gate step; `recycle-pipeline` is real, or says what it was given."""
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "recycle-pipeline"

    def run(code=0, *, program=SAYS, **inputs):
        command.write_text(program.replace("CODE", str(code)))
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


def test_the_step_gates_real_models_and_leaves_its_files_and_outputs(act, write_linear, tmp_path):
    for name, columns in (("small.onnx", 10), ("large.onnx", 100_000)):
        write_linear(tmp_path / name, columns)
    pair = {"baseline": "small.onnx", "candidate": "large.onnx", "program": REAL}
    done = act(**pair, **{"max-size-increase": "10%", "time-budget": "60"})
    assert done.returncode == 5, done.stderr
    results = tmp_path / "recycle-pipeline-gate"
    files = {"gate.xml", "gate.json", "benchmark.json", "bencher.json"}
    assert {path.name for path in results.iterdir()} == files
    outputs = dict(line.split("=") for line in (tmp_path / "output.txt").read_text().splitlines())
    assert outputs["outcome"] == "failed" and float(outputs["ratio"]) > 2
    assert (tmp_path / "summary.md").read_text().startswith("### recycle-pipeline gate: FAILED")
    (tmp_path / "output.txt").unlink()
    done = act(**pair | {"baseline": "none.onnx"})
    assert (done.returncode, "none.onnx is no file" in done.stderr) == (2, True)
    assert not (tmp_path / "output.txt").exists(), "the outcome of the gate before is no outcome of this"


def check(kind, *paths, options=()):
    """The schema of the format's makers, as check-jsonschema brings it."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{kind}", *options]
    return subprocess.run([*command, *map(str, paths)], capture_output=True, text=True)


def test_the_action_and_the_workflow_of_the_docs_are_what_github_reads(tmp_path):
    workflow = tmp_path / "workflow.yml"
    workflow.write_text(YAML[0])
    for kind, path in (("github-actions", ROOT / "action.yml"), ("github-workflows", workflow)):
        done = check(kind, path)
        assert done.returncode == 0, done.stdout
    (step,) = [s for s in yaml.safe_load(YAML[0])["jobs"]["gate"]["steps"] if "OWNER" in s.get("uses", "")]
    required = {name for name, about in ACTION["inputs"].items() if about.get("required")}
    assert required <= step["with"].keys() <= ACTION["inputs"].keys()
    workflow.write_text(YAML[0].replace("runs-on", "run-on"))
    assert check("github-workflows", workflow).returncode == 1


def test_the_component_and_the_pipeline_of_the_docs_are_what_gitlab_reads(tmp_path):
    """The schema knows no inputs: their defaults are put in their places first, as GitLab does."""
    spec, job = (ROOT / "templates/gate.yml").read_text("utf-8").split("\n---\n")
    about = {name: each or {} for name, each in yaml.safe_load(spec)["spec"]["inputs"].items()}
    defaults = {name: str(each.get("default", "model.onnx")) for name, each in about.items()}
    paths = tmp_path / "component.yml", tmp_path / "pipeline.yml"
    paths[0].write_text(re.sub(r"\$\[\[ inputs\.([\w-]+) \]\]", lambda found: defaults[found[1]], job))
    paths[1].write_text(YAML[1])
    done = check("gitlab-ci", *paths, options=("--data-transform", "gitlab-ci"))
    assert done.returncode == 0, done.stdout
    inputs = yaml.safe_load(YAML[1])["include"][0]["inputs"]
    assert {name for name, each in about.items() if "default" not in each} <= inputs.keys() <= about.keys()
    paths[0].write_text(paths[0].read_text().replace("script:", "scripts:"))
    assert check("gitlab-ci", paths[0], options=("--data-transform", "gitlab-ci")).returncode == 1


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
