"""Help that a person can follow: an example in each, every option explained, and nothing heavy imported."""

import json
import re

import click
import pytest

from recycle_pipeline.models.registry import ARCHITECTURES
from recycle_pipeline.pipeline.cli.app import cli
from recycle_pipeline.pipeline.config import RunConfig
from recycle_pipeline.pipeline.data import KNOWN
from recycle_pipeline.pipeline.forms import FORMS
from recycle_pipeline.pipeline.runner import STAGES

COMMANDS = ["run", "search", "pack", "reconstruct", "export", "verify", "bench", "gate", "report"]
COMMANDS += ["inspect", "compare", "presets", "schema", "doctor"]


def test_the_commands_are_these_in_the_order_a_person_meets_them(command):
    assert list(cli.commands) == COMMANDS
    listed = command("--help").out.split("Commands:\n")[1].splitlines()
    assert [line.split()[0] for line in listed[: len(COMMANDS)]] == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_each_help_has_an_example_of_its_own_command(command, name):
    outcome = command(name, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert f"\n    recycle-pipeline {name}" in outcome.out and "Example" in outcome.out


EXAMPLES = [
    line.split()[1:]
    for name in COMMANDS
    for line in cli.commands[name].help.splitlines()
    if line.strip().startswith("recycle-pipeline ")
]


@pytest.mark.parametrize("line", EXAMPLES, ids=" ".join)
def test_each_example_is_accepted_as_it_stands(line):
    """Parsed, not run: names of options and choices must exist."""
    parsed = cli.commands[line[0]].make_context(line[0], line[1:])
    assert parsed.params


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name):
    for parameter in cli.commands[name].params:
        assert isinstance(parameter, click.Argument) or (parameter.help or "").endswith((".", "]", ")"))


def test_the_options_of_run_are_the_settings_and_a_few_of_its_own():
    names = {parameter.name for parameter in cli.commands["run"].params}
    own = {"keep", "config_file", "force", "dry_run", "quiet", "as_json"}
    assert names == set(RunConfig.__dataclass_fields__) | own


def test_help_names_every_stage_form_and_data_set(command):
    text = " ".join(command("run", "--help").out.replace("fashion-\n", "fashion-").split())
    assert ", ".join(STAGES) in text
    for name in (*FORMS, *KNOWN):
        assert name in text.replace("- ", "-")


@pytest.mark.parametrize(
    ("option", "default"),
    [("--epochs", (12, 100)), ("--label-smoothing", (0.1, 0))],
)
def test_the_defaults_in_the_help_are_those_of_the_config(option, default):
    name = option.removeprefix("--").replace("-", "_")
    said = next(p.help for p in cli.commands["run"].params if p.name == name)
    assert said.endswith(f"digits {default[0]}, others {default[1]:g}]")
    found = [getattr(RunConfig(data=data).resolve(), name) for data in ("digits", "cifar10")]
    assert found == list(default)


BATCHES = (("resnet18", "digits"), ("conv2", "digits"), ("resnet18", "cifar10"), ("conv2", "cifar10"))


def test_the_help_of_init_and_decay_follows_the_config():
    said = {p.name: p.help for p in cli.commands["run"].params}
    assert said["init"].endswith("[signed_constant; binary conv2-8, but on digits: kaiming_normal]")
    cases = (("binary", "cifar10", "kaiming_normal"), ("continuous", "cifar10", "signed_constant"))
    for subnetwork, data, init in (*cases, ("binary", "digits", "signed_constant")):
        assert RunConfig(arch="conv4", subnetwork=subnetwork, data=data).resolve().init == init
    assert RunConfig(data="cifar10").resolve().init == "signed_constant"
    assert said["batch_size"].endswith("[digits 64, others 256, conv2-8 128]")
    sizes = [RunConfig(arch=a, data=d).resolve().batch_size for a, d in BATCHES]
    assert sizes == [64, 64, 256, 128]
    assert said["weight_decay"].endswith("[LARS 0, SGD: conv2-8 1e-4, others 5e-4, on digits 5e-3]")
    for arch, decay in (("conv2", 1e-4), ("conv8", 1e-4), ("resnet18", 5e-4)):
        assert RunConfig(arch=arch, data="cifar10").resolve().weight_decay == decay
    assert said["optimizer"].endswith("[digits lars, others sgd]")
    assert [RunConfig(data=data).resolve().optimizer for data in ("digits", "cifar10")] == ["lars", "sgd"]
    assert "[LARS 0.003; Adam 0.1; SGD" in said["learning_rate"]
    assert RunConfig().resolve().learning_rate == 0.003


def test_the_help_of_arch_and_of_the_gates_of_signs_follows_the_code():
    said = {p.name: p.help for p in cli.commands["run"].params}
    listed = said["arch"].partition(", or your own")[0].split(", ")
    groups = [re.fullmatch(r"([a-z_]+)([\d/]*)", group).groups() for group in listed]  # resnet18/34/50
    names = {start + number for start, numbers in groups for number in numbers.split("/")}
    assert names == set(ARCHITECTURES)
    signs = RunConfig(activations="binary").resolve()
    assert said["min_agreement"].endswith(f"[all; binary activations {signs.min_agreement}]")
    drops = (RunConfig().resolve().max_accuracy_drop, signs.max_accuracy_drop)
    assert said["max_accuracy_drop"].endswith("[{}; binary activations {}]".format(*drops))


def test_the_list_of_commands_says_each_in_full_on_80_columns(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    listed = command("--help").out.split("Commands:\n")[1].splitlines()[: len(COMMANDS)]
    assert all(len(line) <= 80 and line.endswith(".") and not line.endswith("..") for line in listed)


def test_exit_codes_are_in_the_help(command):
    text = command("--help").out
    for words in (
        "0 ok",
        "2 usage",
        "3 parity",
        "4 accuracy",
        "6 corrupt file",
        "8 provider",
        "130 interrupted",
        "143 terminated",
    ):
        assert words in text


def test_the_version(command):
    assert command("--version").out == "recycle-pipeline, version 0.1.0\n"


IMPORTS = """
import contextlib, io, json, sys
from recycle_pipeline.pipeline.cli import main
import recycle_pipeline.pipeline

def heavy_after(line):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main(line)
    return sorted({"torch", "onnx", "onnxruntime", "sklearn", "torchvision"} & sys.modules.keys())

print(json.dumps({" ".join(line): heavy_after(line) for line in json.loads(sys.argv[1])}))
"""


REFUSED = ("--prune 2", "--arch nope", "--data nope", "--data folder:nope", "--config nope", "--preset nope")


def test_what_needs_no_torch_imports_none(start, finished):
    """Help, reading tickets, showing what a run would do, and what is refused."""
    ticket, folder = str(finished.ticket), str(finished.folder.root)
    lines = [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)]
    lines += [
        ["run", "--prune", "x"],
        ["presets"],
        ["inspect", ticket],
        ["inspect", ticket, "--json"],
        ["reconstruct", ticket],
        ["compare", ticket, ticket],
        ["run", "--dry-run"],
        ["run", "--output-dir", folder],  # of another run
        *(["run", *option.split()] for option in REFUSED),
        *([name, "no-such-folder"] for name in ("pack", "export", "verify")),
    ]
    out, err = start(json.dumps(lines), script=IMPORTS).communicate(timeout=60)
    imported = json.loads(out)
    assert len(imported) == len(lines), err
    assert {line: names for line, names in imported.items() if names} == {}
