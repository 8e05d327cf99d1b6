"""Presets: each is a run that can be made, set as its source was, and named in what it leaves."""

import json
import math

import pytest

from recycle_pipeline.models.draws import INITS
from recycle_pipeline.models.init_scale import init_scale
from recycle_pipeline.pipeline.cli.tables import _published
from recycle_pipeline.pipeline.config import RunConfig
from recycle_pipeline.pipeline.given import config_from
from recycle_pipeline.pipeline.preset import FOUND
from recycle_pipeline.pipeline.presets import PRESETS, find_preset
from recycle_pipeline.pipeline.published_figures import conv_figures
from recycle_pipeline.pipeline.search.settings import (
    reuse_event_after,
    reuse_event_before_step,
)
from recycle_pipeline.pipeline.stages.search import SEARCH, settings_of

CONVS = ("conv2", "conv4", "conv6", "conv8")
NAMES = [
    *(f"{family}-{arch}" for arch in CONVS for family in ("edge-popup", "biprop", "iterand")),
    *(f"iwr-{arch}-{system}" for arch in CONVS for system in ("edge-popup", "biprop")),
    "edge-popup-resnet18",
    "biprop-resnet18",
    "iterand-resnet18",
    "iwr-resnet18-edge-popup",
    "iwr-resnet18-biprop",
    "iterand-paper-conv6",
    "iterand-paper-resnet18",
    "biprop-vgg-small",
    "biprop-resnet18-bn",
    "biprop-vgg-small-binary-activations",
    "biprop-vgg-small-binary-activations-bn",
]
# What a search depends on; each preset must set it or have it without effect.
KNOBS = set(SEARCH.config_keys) - {"image_size", "seed", "preset", "layer_minimum", "processes"}


def config_of(name, **given):
    return config_from({"preset": name} | given).resolve()


def test_the_presets_are_these():
    assert sorted(PRESETS) == sorted(NAMES)
    assert all(preset.name == name for name, preset in PRESETS.items())


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_is_accepted_and_resolving_changes_none_of_it(name):
    preset, config = find_preset(name), config_of(name)
    assert config.preset == name
    assert {key: getattr(config, key) for key in preset.settings} == dict(preset.settings)
    assert settings_of(config).epochs == preset.settings["epochs"]


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_sets_every_knob(name):
    """Nothing is left to defaults, which may change, but for one of the periods, and a reuse that is none."""
    given = set(find_preset(name).settings)
    periods = {"reuse_period", "reuse_period_steps"}
    # None of the sources changes the rate; that they compute in float32 is said, not followed.
    free = {"learning_rate_after", "precision"} | periods
    if find_preset(name).settings["reuse"] == "none":
        free |= {"reuse_rate"}
    else:
        assert len(given & periods) == 1
    assert KNOBS - given <= free


@pytest.mark.parametrize("name", NAMES)
def test_a_resolved_preset_survives_the_run_folders_config(name):
    config = config_of(name)
    assert config_from(config.to_dict()) == config


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_says_where_it_is_from_and_what_differs(name):
    preset = find_preset(name)
    assert preset.source and preset.differs
    assert all(0.3 < figure.top1 < 1 and figure.origin for figure in preset.expected)
    assert (preset.settings["subnetwork"] == "binary") == any("int(k * n)" in line for line in preset.differs)
    assert preset.settings["init"] in INITS


@pytest.mark.parametrize("name", [name for name in NAMES if name != "iwr-resnet18-edge-popup"])
def test_a_preset_has_a_figure_at_its_own_sparsity(name):
    preset = find_preset(name)
    assert preset.expected_at(preset.settings["prune"]) is not None


@pytest.mark.parametrize(
    ("name", "prune", "top1", "trust"),
    [
        ("edge-popup-conv6", 0.9, 0.7957, "low"),
        ("iwr-conv8-edge-popup", 0.9, 0.8693, "low"),
        ("biprop-conv6", 0.9, 0.8238, "low"),
        ("iwr-conv2-biprop", 0.9, 0.769, "low"),
        ("iwr-conv4-biprop", 0.98, 0.4938, "low"),
        ("iterand-conv4", 0.5, 0.8837, "low"),
        ("biprop-resnet18", 0.8, 0.9466, "high"),
        ("biprop-resnet18", 0.99, 0.826, "low"),
        ("iwr-resnet18-biprop", 0.95, 0.9346, "low"),
        ("biprop-vgg-small", 0.95, 0.9148, "high"),
    ],
)
def test_the_figure_is_looked_up_by_sparsity(name, prune, top1, trust):
    figure = find_preset(name).expected_at(prune)
    assert (figure.top1, figure.trust) == (top1, trust)


def test_a_sparsity_without_a_figure_has_none():
    assert find_preset("iwr-conv6-biprop").expected_at(0.85) is None
    assert find_preset("iwr-resnet18-edge-popup").expected == ()


def test_a_spread_is_a_fraction_too():
    assert find_preset("iwr-conv6-biprop").expected_at(0.9).spread == 0.0035
    assert find_preset("edge-popup-conv6").expected_at(0.9).spread is None


def test_the_figures_of_conv_nets_are_listed_by_sparsity():
    assert list(conv_figures("biprop", "conv4")) == [0.2, 0.4, 0.5, 0.6, 0.8, 0.9, 0.95, 0.98]


@pytest.mark.parametrize(
    ("name", "events"),
    [
        ("iwr-conv8-edge-popup", 82),
        ("iwr-conv6-edge-popup", 24),
        ("iwr-conv2-biprop", 24),
        ("iterand-conv6", 248),
    ],
)
def test_the_published_number_of_events_follows(name, events):
    settings = settings_of(config_of(name))
    assert sum(reuse_event_after(settings, epoch) for epoch in range(250)) == events


def test_iterands_own_schedule_is_117_events_at_its_352_steps():
    settings = settings_of(config_of("iterand-paper-resnet18"))
    assert sum(reuse_event_before_step(settings, step) for step in range(100 * 352)) == 117
    assert not any(reuse_event_after(settings, epoch) for epoch in range(100))


def test_scaled_and_unscaled_biprop_differ_by_the_published_confound():
    scaled, unscaled = (config_of(name) for name in ("biprop-conv6", "iwr-conv6-biprop"))
    one, other = (float(init_scale((64, 576), c.init, c.scale_fan, c.prune)) for c in (scaled, unscaled))
    assert one / other == pytest.approx(math.sqrt(1 / 0.9), rel=1e-6)


def test_the_account_names_what_was_changed_but_not_another_sparsity():
    config = config_of("biprop-conv6", prune=0.8, epochs=3, seed=9)
    account = find_preset("biprop-conv6").account(config.to_dict())
    assert account["expected_top1"] == 0.875 and account["changed"] == ["epochs"]
    assert json.loads(json.dumps(account)) == account


@pytest.mark.parametrize(
    "changes",
    [
        {"data": "cifar100"},
        {"arch": "resnet34"},
        {"width": 0.1},
        {"activations": "binary"},
        {"batch_norm": "learned"},
        {"subnetwork": "continuous"},
        {"scope": "global"},
        {"allocation": "root"},
    ],
    ids=str,
)
def test_the_account_has_no_figure_where_something_else_is_searched_for(changes):
    account = find_preset("biprop-resnet18").account(config_of("biprop-resnet18", **changes).to_dict())
    assert account["expected_top1"] is None and account["changed"] == list(changes)


def test_what_is_searched_for_is_set_by_every_preset():
    """A setting that a preset leaves out cannot count as changed."""
    assert all(set(FOUND) <= set(preset.settings) for preset in PRESETS.values())


@pytest.mark.parametrize("changes", [{"scale_fan": "keep"}, {"epochs": 3}, {"reuse": "recycle"}], ids=str)
def test_the_account_keeps_the_figure_where_the_search_alone_is_another(changes):
    account = find_preset("biprop-conv6").account(config_of("biprop-conv6", **changes).to_dict())
    assert account["expected_top1"] == 0.8238 and account["changed"] == list(changes)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("biprop-resnet18", "94.66% (biprop-resnet18, Biprop)"),
        ("biprop-conv6", "82.38%, give or take 1 % (biprop-conv6, Iterative Weight Recycling)"),
    ],
)
def test_the_result_shows_the_published_figure(name, row):
    assert _published(find_preset(name).account(config_of(name).to_dict())) == row


def test_without_a_preset_nothing_of_one_is_stored():
    assert "preset" not in RunConfig().to_dict()
    assert "preset" not in SEARCH.settings(RunConfig().resolve())


def test_the_run_that_a_preset_began_names_it(command, here):
    """On digits, one epoch: config.toml, the manifest and the ticket all name the preset."""
    line = (
        "search",
        "--preset",
        "iterand-conv2",
        "--data",
        "digits",
        "--epochs",
        "1",
        "--output-dir",
        "mine",
    )
    outcome = command(*line)
    assert outcome.code == 0
    said = "no figure for this (iterand-conv2, Iterative Weight Recycling); changed here: data, epochs"
    assert f"published   {said}\n" in outcome.out
    assert 'preset = "iterand-conv2"' in (here / "mine" / "config.toml").read_text()
    entry = json.loads((here / "mine" / "manifest.json").read_text())["stages"]["search"]
    assert entry["config"]["preset"] == "iterand-conv2"
    assert sorted(entry["facts"]["preset"]["changed"]) == ["data", "epochs"]
    assert entry["facts"]["preset"]["expected_top1"] is None  # the figure is of other data


@pytest.mark.parametrize(
    ("option", "changed"),
    [(("--width", "0.1"), "width"), (("--activations", "binary"), "activations")],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_the_result_of_another_network_stands_beside_no_figure(command, here, option, changed):
    line = ("search", "--preset", "iwr-conv2-biprop", "--data", "digits", "--epochs", "1", *option)
    outcome = command(*line, "--output-dir", "mine")
    assert outcome.code == 0
    row = next(line for line in outcome.out.splitlines() if line.startswith("published "))
    assert "no figure for this (iwr-conv2-biprop" in row and changed in row.split("changed here: ")[1]


def test_the_command_lists_every_preset_with_source_and_figure(command):
    outcome = command("presets")
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert [line.split()[0] for line in lines] == ["preset", *PRESETS]
    row = next(line for line in lines if line.startswith("biprop-resnet18"))
    assert row.split() == ["biprop-resnet18", "0.8", "94.66%", "*", "Biprop"]


def test_the_list_as_json_has_everything(command):
    listed = json.loads(command("presets", "--json").out)
    assert [entry["name"] for entry in listed] == list(PRESETS)
    assert all(set(entry) == {"name", "source", "settings", "expected", "differs"} for entry in listed)
    assert listed[0]["expected"][-1]["top1"] == 0.6405
