"""The command on the card leads to the settings it is made from."""

import shlex

import pytest

from recycle_pipeline.pipeline.cli.app import cli
from recycle_pipeline.pipeline.command_line import search_command
from recycle_pipeline.pipeline.given import config_from
from recycle_pipeline.pipeline.presets import PRESETS
from recycle_pipeline.pipeline.stages.search import SEARCH

GIVEN = {
    "nothing": {},
    "another seed": {"seed": 3, "epochs": 4},
    "steps": {"reuse_period_steps": 300, "data": "cifar10", "batch_size": 128},
    "sgd on digits": {"optimizer": "sgd", "momentum": 0.8},
    "two rates": {"learning_rate_after": "3:0.02,5:0.004", "epochs": 9},
    "adam": {"optimizer": "adam", "data": "cifar10", "arch": "conv6", "warmup": 2.5},
    "signs": {"activations": "binary", "batch_norm": "learned", "width": 1.25, "arch": "vgg_small"},
    "global": {"scope": "global", "layer_minimum": 0.0, "prune": 0.95},
    "continuous": {"subnetwork": "continuous", "init": "kaiming_uniform", "reuse": "rerandomize"},
    "no reuse": {"reuse": "none", "data": "mnist", "hold_out": 100, "cutout": 8},
    "preset, no reuse": {"preset": "iwr-conv6-biprop", "reuse": "none"},
    "preset": {"preset": "iwr-conv6-biprop"},
    "preset, changed": {"preset": "iwr-conv6-biprop", "epochs": 5, "seed": 9},
}


def settings(values):
    return {**SEARCH.unsaid, **SEARCH.settings(config_from(values).resolve())}


def given_by(line):
    """What click makes of the line's options."""
    program, name, *arguments = shlex.split(line)
    assert (program, name) == ("recycle-pipeline", "run")
    parameters = cli.commands["run"].make_context("run", arguments).params
    return {key: value for key, value in parameters.items() if value not in (None, ()) and value is not False}


@pytest.mark.parametrize("values", GIVEN.values(), ids=GIVEN)
def test_the_command_leads_to_the_same_settings(values):
    line = search_command(settings(values))
    assert settings(given_by(line)) == settings(values)
    assert len(line.split()) <= 2 + 2 * max(len(values) + 1, 1)


@pytest.mark.parametrize("name", PRESETS)
def test_a_presets_command_is_its_name(name):
    assert search_command(settings({"preset": name})) == f"recycle-pipeline run --preset {name}"


def test_settings_that_no_options_lead_to_have_no_command():
    assert search_command({**settings({}), "prune": 2.0}) is None
    assert search_command({**settings({}), "forgotten": 1}) is None
    assert search_command(settings({"reuse": "none", "reuse_rate": 0.3})) is None  # refused by now


def test_what_a_shell_would_read_is_quoted():
    line = search_command(settings({"data": "folder:/tmp/my $photos"}))
    assert line == "recycle-pipeline run --data 'folder:my $photos'"
