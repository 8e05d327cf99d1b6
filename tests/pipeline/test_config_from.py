"""Settings as users write them: names, types, comma lists, and which source wins."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.api import merge
from recycle_pipeline.pipeline.config import RunConfig
from recycle_pipeline.pipeline.given import asked, config_from, forms_of


def test_nothing_given_is_the_defaults():
    assert config_from({}) == RunConfig()


def test_hyphens_stand_for_underscores_and_none_for_not_given():
    assert config_from({"batch-size": 32, "epochs": None}) == RunConfig(batch_size=32)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("prun", "; did you mean prune?"),
        ("batchsize", "; did you mean batch_size?"),
        ("output-folder", "; did you mean output_dir?"),
        ("zzz", "; known: arch, width, activations, batch_norm, prune, "),
    ],
)
def test_an_unknown_setting_is_refused_with_the_nearest_known(name, hint):
    with pytest.raises(UsageFault, match=re.escape(f"unknown setting {name.replace('-', '_')!r}" + hint)):
        config_from({name: 1})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 12.0}, "setting epochs = 12.0 is a float; expected int"),
        ({"epochs": "12"}, "setting epochs = '12' is a str; expected int"),
        ({"epochs": True}, "setting epochs = True is a bool; expected int"),
        ({"seed": 1.5}, "setting seed = 1.5 is a float; expected int"),
        ({"prune": "0.9"}, "setting prune = '0.9' is a str; expected float"),
        ({"prune": True}, "setting prune = True is a bool; expected float"),
        ({"download": 1}, "setting download = 1 is a int; expected bool"),
        ({"arch": 18}, "setting arch = 18 is a int; expected str"),
        ({"data_root": ["a"]}, "setting data_root = ['a'] is a list; expected str"),
        ({"min_top1": "high"}, "setting min_top1 = 'high' is a str; expected float"),
    ],
    ids=str,
)
def test_a_value_of_the_wrong_type_is_refused(values, message):
    with pytest.raises(UsageFault, match="^" + re.escape(message) + "$"):
        config_from(values)


@pytest.mark.parametrize("name", ["Bildschirmfoto um 9.41\u202fAM", "写真\u3000二", "naïve", "a\nb"])
def test_any_name_that_utf8_can_hold_is_taken(name):
    """macOS puts U+202F into the names of its screenshots; str.isprintable would refuse it."""
    assert config_from({"data": f"folder:{name}", "output_dir": name}).output_dir == name


def test_an_integer_is_a_number_and_a_path_is_a_name():
    config = config_from({"learning_rate": 1, "output_dir": Path("runs/mine"), "data_root": Path("d")})
    assert (config.learning_rate, config.output_dir, config.data_root) == (1.0, str(Path("runs/mine")), "d")
    assert isinstance(config.learning_rate, float)


@pytest.mark.parametrize("name", ["prune", "learning_rate", "max_difference", "keep"])
def test_an_integer_too_large_for_a_number_is_refused(name):
    """TOML carries integers of any length."""
    with pytest.raises(UsageFault):
        config_from({name: 10**400})


def test_keep_is_turned_into_prune():
    assert config_from({"keep": 0.05}).prune == 0.95


def test_keep_and_prune_together_are_refused():
    with pytest.raises(
        UsageFault, match=r"^--prune 0.9 and --keep 0.1 were both given: expected one of them$"
    ):
        config_from({"prune": 0.9, "keep": 0.1})


@pytest.mark.parametrize(
    "value", ["onnx", "onnx,onnx", " onnx , ", ["onnx"], ("onnx", "onnx"), ["onnx,onnx", "onnx"]]
)
def test_export_is_a_name_a_comma_list_or_a_repeat_and_counts_once(value):
    assert config_from({"export": value}).export == ("onnx",)


@given(st.lists(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1), min_size=1))
def test_forms_keep_their_order_and_lose_their_repeats(groups):
    flat = [name for group in groups for name in group]
    assert forms_of([", ".join(group) for group in groups]) == tuple(dict.fromkeys(flat))


def test_an_unknown_export_form_is_refused():
    with pytest.raises(UsageFault, match=r"^--export 'tflite': expected one of onnx, .*, all$"):
        config_from({"export": "onnx,tflite"})


@pytest.mark.parametrize("value", [5, True, 1.5], ids=str)
def test_an_export_of_the_wrong_type_is_refused(value):
    with pytest.raises(UsageFault, match="export"):
        config_from({"export": value})


@pytest.mark.parametrize("value", ["", ",", [], ()], ids=repr)
def test_an_export_of_no_form_is_refused(value):
    """Else the stage writes a model that the manifest does not list."""
    with pytest.raises(UsageFault, match="--export"):
        config_from({"export": value})


def test_options_win_over_the_file_and_the_file_over_defaults():
    merged = merge({"epochs": 5, "batch-size": 8}, {"epochs": 7, "batch_size": None})
    config = config_from(merged)
    assert (config.epochs, config.batch_size, config.momentum) == (7, 8, RunConfig().momentum)


@pytest.mark.parametrize(
    ("file", "options", "prune"),
    [
        ({"keep": 0.5}, {"prune": 0.8}, 0.8),
        ({"prune": 0.5}, {"keep": 0.1}, 0.9),
        ({"keep": 0.5}, {}, 0.5),
        ({"prune": 0.3}, {"keep": None}, 0.3),
    ],
)
def test_keep_in_one_place_replaces_prune_in_the_other(file, options, prune):
    assert config_from(merge(file, options)).prune == prune


def test_keep_and_prune_in_one_file_are_still_refused():
    with pytest.raises(UsageFault, match="both given"):
        config_from(merge({"keep": 0.5, "prune": 0.5}, {"epochs": 1}))


def test_options_win_over_the_file_the_file_over_the_preset_and_the_preset_over_defaults():
    config = config_from(merge({"preset": "iwr-conv6-biprop", "epochs": 5, "seed": 3}, {"epochs": 7}))
    assert (config.preset, config.epochs, config.seed) == ("iwr-conv6-biprop", 7, 3)
    assert (config.arch, config.batch_size, config.reuse_period) == ("conv6", 128, 10)
    assert config.max_difference == RunConfig().max_difference


def test_a_file_wins_over_a_preset_that_is_an_option():
    config = config_from(merge({"epochs": 5, "keep": 0.5}, {"preset": "iwr-conv6-biprop"}))
    assert (config.epochs, config.prune, config.arch) == (5, 0.5, "conv6")


def test_an_option_wins_over_the_files_preset():
    assert config_from(merge({"preset": "biprop-conv2"}, {"preset": "biprop-conv4"})).arch == "conv4"


@pytest.mark.parametrize(
    ("preset", "given", "periods"),
    [
        ("iterand-paper-conv6", {}, (None, 300)),
        ("iterand-paper-conv6", {"reuse_period": 2}, (2, None)),
        ("iterand-conv6", {}, (1, None)),
        ("iterand-conv6", {"reuse-period-steps": 50}, (None, 50)),
    ],
)
def test_a_period_of_the_one_kind_replaces_a_presets_of_the_other(preset, given, periods):
    config = config_from({"preset": preset} | given)
    assert (config.reuse_period, config.reuse_period_steps) == periods
    resolved = config.resolve()
    assert config_from(resolved.to_dict()) == resolved


def test_merging_changes_neither_source():
    file, options = {"keep": 0.5}, {"prune": 0.8}
    merge(file, options)
    assert (file, options) == ({"keep": 0.5}, {"prune": 0.8})


@pytest.mark.parametrize("name", ["reuse-rate", "reuse_period", "reuse_period_steps"])
@pytest.mark.parametrize("there", [{}, {"reuse": "none"}, {"preset": "iwr-conv6-biprop"}], ids=str)
def test_what_is_said_of_reuse_where_there_is_none_is_refused_when_asked_for_now(name, there):
    """The preset sets a rate and a period of its own, of recycling."""
    value = 0.5 if name == "reuse-rate" else 2
    now = {"reuse": "none", name: value}
    message = f"^--{name.replace('_', '-')} {value} has no effect on --reuse none: expected another --reuse"
    with pytest.raises(UsageFault, match=message):
        asked(now, merge(there, now))


@pytest.mark.parametrize(
    ("settings", "now", "message"),
    [
        (
            {"recycle_from": "next-lowest"},
            {"reuse": "rerandomize"},
            "^--recycle-from next-lowest has no effect on --reuse rerandomize: expected recycle or hybrid",
        ),
        (
            {"allocation": "root"},
            {"scope": "global"},
            "^--allocation root has no effect on --scope global, where",
        ),
    ],
)
def test_what_another_option_leaves_without_effect_is_refused_only_where_it_is_given(settings, now, message):
    """A run folder's config says all of it, whatever was given."""
    with pytest.raises(UsageFault, match=message):
        asked(settings | now)
    there = asked({"arch": "conv6", "data": "cifar10"}).resolve().to_dict()
    assert settings.items() <= there.items()
    resolved = asked(now, merge(there, now)).resolve().to_dict()
    neutral = {"recycle_from": "top", "allocation": "uniform"}
    assert all(resolved[name] == neutral[name] for name in settings) and now.items() <= resolved.items()


def test_presets_and_run_folders_of_no_reuse_may_say_more_of_it():
    there = asked({"preset": "iwr-conv6-biprop", "reuse": "none"}).resolve()
    assert there.reuse == "none" and there.reuse_rate is not None and there.reuse_period is not None
    assert asked({"seed": 1}, merge(there.to_dict(), {"seed": 1})).reuse == "none"
    now = {"reuse": "recycle", "reuse_rate": 0.3}
    assert asked(now, merge(there.to_dict(), now)).reuse_rate == 0.3


@pytest.mark.parametrize("value", ["1,16", " 1 , 16", [1, 16], (1, "16"), ["1", 16]])
def test_counts_are_a_comma_list_or_a_list(value):
    config = config_from({"timed-batch": value, "timed_threads": value})
    assert config.timed_batch == config.timed_threads == (1, 16)


def test_one_count_needs_no_list_and_all_is_zero_threads():
    assert config_from({"timed_batch": 16}).timed_batch == (16,)
    assert config_from({"timed_threads": "1,all"}).timed_threads == (1, 0)


NO_COUNTS = ("1,,2", "", "1.5", 1.5, True, "-1", "all", "\u0663", "9" * 10, {"a": 1}, [[1]])


@pytest.mark.parametrize("value", NO_COUNTS)
def test_other_counts_are_refused_with_what_was_given(value):
    with pytest.raises(UsageFault, match=r"^--timed-batch .*expected whole numbers, with commas between"):
        config_from({"timed_batch": value})
