"""The configuration: every refusal with what it says, and what `resolve` fills in."""

import dataclasses
import math
import re
from typing import get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.models.init_scale import SCALE_FANS, SCORE_RULES
from recycle_pipeline.models.masked import KINDS
from recycle_pipeline.models.options import ArchOptions
from recycle_pipeline.models.reuse import RECYCLE_FROM
from recycle_pipeline.models.topk import ROUNDINGS
from recycle_pipeline.pipeline import config as config_module
from recycle_pipeline.pipeline.checks import check_prune
from recycle_pipeline.pipeline.config import RunConfig
from recycle_pipeline.pipeline.given import prune_of_keep
from recycle_pipeline.pipeline.search.precision import PRECISIONS
from recycle_pipeline.pipeline.search.settings import OPTIMIZERS, REUSES, SCHEDULES

REFUSALS = [
    ({"prune": 90}, "--prune 90 is not a fraction; did you mean 0.9?"),
    ({"prune": 99.5}, "--prune 99.5 is not a fraction; did you mean 0.995?"),
    ({"prune": 100}, "--prune 100 is not a fraction between 0 and 1; for example 0.9 removes 90 % of the"),
    ({"prune": -0.1}, "--prune -0.1 is not a fraction between 0 and 1"),
    ({"prune": math.inf}, "--prune inf is not a fraction between 0 and 1"),
    ({"prune": 1}, "--prune 1 removes every weight; give the fraction to remove, for example 0.9"),
    ({"prune": 0.0}, "--prune 0 removes nothing and leaves no search to do; give the fraction to remove"),
    ({"prune": math.nan}, "--prune nan: expected a number between 0 and 1, the fraction removed"),
    ({"prune": "0.9"}, "--prune '0.9': expected a number between 0 and 1"),
    ({"prune": True}, "--prune True: expected a number between 0 and 1"),
    ({"seed": -1}, "--seed -1: expected an integer from 0 to 9223372036854775807"),
    ({"seed": 2**63}, "--seed 9223372036854775808: expected an integer from 0"),
    (
        {"subnetwork": "binray"},
        "--subnetwork 'binray': expected one of binary, continuous (did you mean binary?",
    ),
    (
        {"init": "kaiming"},
        "--init 'kaiming': expected one of kaiming_normal, kaiming_uniform, signed_constant",
    ),
    ({"scale_fan": "drop"}, "--scale-fan 'drop': expected one of keep, none, published"),
    (
        {"reuse": "recycling"},
        "--reuse 'recycling': expected one of recycle, rerandomize, hybrid, none (did you mean recycle",
    ),
    ({"scores": "sign"}, "--scores 'sign': expected one of magnitude, signed (did you mean signed?)"),
    ({"rounding": "down"}, "--rounding 'down': expected one of edge-popup, iterand"),
    ({"precision": "fp32"}, "--precision 'fp32': expected one of auto, bfloat16, tf32, float32"),
    ({"recycle_from": "bottom"}, "--recycle-from 'bottom': expected one of top, next-lowest"),
    ({"optimizer": "adamw"}, "--optimizer 'adamw': expected one of sgd, adam, lars (did you mean adam?)"),
    ({"schedule": "step"}, "--schedule 'step': expected one of cosine, cosine-epoch, constant"),
    (
        {"preset": "iwr-conv6"},
        "unknown preset 'iwr-conv6'; did you mean iwr-conv6-edge-popup or iwr-conv6-biprop?",
    ),
    ({"preset": "biprop-conv5"}, "unknown preset 'biprop-conv5'; did you mean biprop-conv"),
    ({"preset": "?"}, "unknown preset '?'; `recycle-pipeline presets` lists them"),
    ({"reuse_period_steps": 0}, "--reuse-period-steps 0: expected at least 1"),
    (
        {"reuse_period": 3, "reuse_period_steps": 300},
        "--reuse-period 3 and --reuse-period-steps 300 were both given: expected one of them",
    ),
    ({"scope": "global", "layer_minimum": 0.51}, "--layer-minimum 0.51: expected at least 0 and at most 0.5"),
    ({"allocation": "half"}, "--allocation 'half': expected one of uniform, erk, root"),
    ({"layer_minimum": 0.1}, "--layer-minimum 0.1 has no effect on --scope layer, where each layer keeps"),
    (
        {"optimizer": "adam", "weight_decay": 1e-4},
        "--weight-decay 0.0001 has no effect on --optimizer adam, which has none as published",
    ),
    ({"reuse": "hybrid", "reuse_rate": 1.01}, "--reuse-rate 1.01: expected more than 0 and at most 1"),
    ({"scope": "all"}, "--scope 'all': expected one of layer, global"),
    ({"provider": "gpu"}, "--provider 'gpu': unknown provider 'gpu'; expected one of auto, cpu, cuda"),
    ({"export": ("onnx", "onxn")}, "--export 'onxn': expected one of onnx, onnx-compact, onnx-seed, "),
    ({"device": "gpu"}, "--device 'gpu': expected auto, cpu, cuda or cuda:N"),
    ({"device": "cuda:"}, "--device 'cuda:': expected auto, cpu, cuda or cuda:N"),
    ({"device": "cpu "}, "--device 'cpu ': expected auto, cpu, cuda or cuda:N"),
    ({"epochs": 0}, "--epochs 0: expected at least 1"),
    ({"batch_size": 1}, "--batch-size 1: expected at least 2"),
    ({"reuse_period": 0}, "--reuse-period 0: expected at least 1"),
    ({"image_size": 0}, "--image-size 0: expected at least 1"),
    ({"hold_out": -1}, "--hold-out -1: expected at least 0"),
    ({"learning_rate": 0.0}, "--learning-rate 0: expected more than 0"),
    ({"learning_rate": math.inf}, "--learning-rate inf: expected more than 0"),
    ({"learning_rate": math.nan}, "--learning-rate nan: expected more than 0"),
    ({"learning_rate": 1e39}, "--learning-rate 1e+39: expected more than 0 and at most 1e+06"),
    ({"weight_decay": 1e39}, "--weight-decay 1e+39: expected at least 0 and at most 1e+06"),
    ({"device": "cuda:" + "9" * 20}, f"--device 'cuda:{'9' * 20}': expected auto, cpu, cuda or cuda:N"),
    ({"device": "cuda:1000"}, "--device 'cuda:1000': expected auto, cpu, cuda or cuda:N"),
    ({"device": "cuda:٣"}, "--device 'cuda:٣': expected auto, cpu, cuda or cuda:N"),
    ({"momentum": 1.0}, "--momentum 1: expected at least 0 and less than 1"),
    ({"momentum": -0.1}, "--momentum -0.1: expected at least 0 and less than 1"),
    ({"weight_decay": -1e-4}, "--weight-decay -0.0001: expected at least 0"),
    ({"warmup": -1.0}, "--warmup -1: expected at least 0"),
    ({"label_smoothing": 1.0}, "--label-smoothing 1: expected at least 0 and less than 1"),
    ({"reuse_rate": 0.0}, "--reuse-rate 0: expected more than 0 and at most 0.5"),
    ({"reuse_rate": 0.51}, "--reuse-rate 0.51: expected more than 0 and at most 0.5"),
    ({"reuse": "rerandomize", "reuse_rate": 1.01}, "--reuse-rate 1.01: expected more than 0 and at most 1"),
    ({"max_difference": -1.0}, "--max-difference -1: expected at least 0"),
    ({"min_agreement": 1.5}, "--min-agreement 1.5: expected at least 0 and at most 1"),
    ({"width": 0.0}, "--width 0: expected more than 0 and at most 64"),
    ({"width": math.inf}, "--width inf: expected more than 0 and at most 64"),
    ({"activations": "sign"}, "--activations 'sign': expected one of relu, binary"),
    ({"batch_norm": "affine"}, "--batch-norm 'affine': expected one of fixed, learned"),
    ({"max_accuracy_drop": 1.5}, "--max-accuracy-drop 1.5: expected at least 0 and at most 1"),
    ({"min_top1": 98.0}, "--min-top1 98: expected at least 0 and at most 1"),
    ({"max_slowdown": -0.5}, "--max-slowdown -0.5: expected at least 0"),
    ({"max_slowdown": math.inf}, "--max-slowdown inf: expected at least 0"),
    ({"timed_batch": ()}, "--timed-batch : expected one or more different whole numbers from 1 to 4096"),
    ({"timed_batch": (1, 0)}, "--timed-batch 1,0: expected one or more different whole numbers from 1"),
    ({"timed_batch": (4097,)}, "--timed-batch 4097: expected one or more different whole numbers"),
    ({"timed_batch": (16, 1, 16)}, "--timed-batch 16,1,16: expected one or more different whole numbers"),
    ({"timed_threads": (-1,)}, "--timed-threads -1: expected one or more different whole numbers from 0"),
    ({"timed_threads": (1025,)}, "--timed-threads 1025: expected one or more different whole numbers"),
]


@pytest.mark.parametrize(("values", "message"), REFUSALS, ids=[str(values) for values, _ in REFUSALS])
def test_a_bad_value_is_refused_with_option_value_and_expectation(values, message):
    with pytest.raises(UsageFault, match="^" + re.escape(message)):
        RunConfig(**values)


EDGES = [
    {"width": 64.0},
    {"width": 1e-6},
    {"min_agreement": 0.0},
    {"min_agreement": 1.0},
    {"seed": 2**63 - 1},
    {"reuse_rate": 0.5},
    {"reuse": "rerandomize", "reuse_rate": 1.0},
    {"reuse": "none", "reuse_rate": 1.0},
    {"reuse": "hybrid", "reuse_rate": 1.0, "recycle_from": "next-lowest"},
    {"reuse_period_steps": 1},
    {"scope": "global", "layer_minimum": 0.5},
    {"scope": "layer", "layer_minimum": 0.0},
    {"optimizer": "adam", "weight_decay": 0.0},
    {"preset": "iwr-conv6-biprop"},
    {"momentum": 0.0},
    {"weight_decay": 0.0},
    {"label_smoothing": 0.0},
    {"batch_size": 2},
    {"max_difference": 0.0},
    {"max_accuracy_drop": 0.0},
    {"max_accuracy_drop": 1.0},
    {"min_top1": 0.0},
    {"min_top1": 1.0},
    {"max_slowdown": 0.0},
    {"device": "cuda:17"},
]


@pytest.mark.parametrize("values", EDGES, ids=str)
def test_a_value_at_the_edge_of_its_range_is_taken(values):
    made = RunConfig(**values)
    assert {name: getattr(made, name) for name in values} == values


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_prune_rate_passes_exactly_if_it_lies_between_0_and_1(prune):
    if 0 < prune < 1:
        check_prune(prune)
    else:
        with pytest.raises(UsageFault, match=r"^--prune "):
            check_prune(prune)


@pytest.mark.parametrize(
    ("keep", "prune"), [(0.1, 0.9), (0.2, 0.8), (0.3, 0.7), (0.9, 0.1), (0.05, 0.95), (1 / 3, 0.666666666667)]
)
def test_keep_becomes_the_decimal_a_person_means(keep, prune):
    assert prune_of_keep(keep) == prune


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (10, "--keep 10: expected a fraction between 0 and 1, the part that is kept; did you mean 0.1?"),
        (0, "--keep 0: expected a fraction between 0 and 1, the part that is kept"),
        (1.0, "--keep 1.0: expected a fraction between 0 and 1, the part that is kept"),
        (math.nan, "--keep nan: expected a fraction between 0 and 1, the part that is kept"),
        (True, "--keep True: expected a fraction between 0 and 1, the part that is kept"),
        ("0.1", "--keep 0.1: expected a fraction between 0 and 1, the part that is kept"),
    ],
)
def test_a_bad_keep_is_refused(keep, message):
    with pytest.raises(UsageFault, match="^" + re.escape(message) + "$"):
        prune_of_keep(keep)


def resolved(**values):
    return RunConfig(**values).resolve()


@pytest.mark.parametrize(
    ("data", "epochs", "batch", "smoothing"), [("digits", 12, 64, 0.1), ("cifar10", 100, 256, 0.0)]
)
def test_the_budget_follows_the_data(data, epochs, batch, smoothing):
    config = resolved(data=data)
    assert (config.epochs, config.batch_size, config.label_smoothing) == (epochs, batch, smoothing)


@pytest.mark.parametrize(
    ("values", "epochs"),
    [
        ({"arch": "resnet18", "data": "cifar10"}, 200),
        ({"arch": "vgg_small", "data": "cifar100"}, 200),
        ({"arch": "conv6", "data": "cifar10"}, 100),
        ({"arch": "resnet18", "data": "fashion-mnist"}, 100),
        ({"arch": "resnet18", "data": "digits"}, 12),
        ({"arch": "resnet18", "data": "cifar10", "epochs": 30}, 30),
    ],
)
def test_where_much_is_kept_searches_are_longer_on_cifar(values, epochs):
    assert resolved(prune=0.8, **values).epochs == epochs


@pytest.mark.parametrize(
    ("arch", "subnetwork", "init"),
    [
        ("resnet18", "binary", "signed_constant"),
        ("conv6", "binary", "kaiming_normal"),
        ("conv6", "continuous", "signed_constant"),
    ],
)
def test_the_init_follows_the_network_and_the_kind(arch, subnetwork, init):
    assert resolved(arch=arch, subnetwork=subnetwork, data="cifar10").init == init


RECIPE = ("batch_norm", "scores", "allocation", "warmup", "cutout", "batch_size")


@pytest.mark.parametrize(
    ("settings", "recipe"),
    [
        ({"data": "cifar10"}, ("learned", "magnitude", "root", 0.0, 8, 256)),
        ({"data": "cifar10", "epochs": 99}, ("learned", "magnitude", "root", 0.0, 0, 256)),
        ({"data": "folder:x"}, ("learned", "magnitude", "root", 0.0, 0, 256)),
        ({"data": "cifar10", "scope": "global"}, ("learned", "magnitude", "uniform", 0.0, 8, 256)),
        ({"data": "cifar10", "arch": "my.net:build"}, ("fixed", "magnitude", "root", 0.0, 8, 256)),
        ({"data": "cifar10", "activations": "binary"}, ("fixed", "magnitude", "root", 0.0, 8, 256)),
        ({"data": "cifar10", "arch": "conv2", "epochs": 40}, ("fixed", "signed", "root", 2.0, 0, 128)),
        ({"arch": "conv2"}, ("fixed", "magnitude", "uniform", 0.0, 0, 64)),
        ({}, ("fixed", "magnitude", "uniform", 0.0, 0, 64)),
    ],
)
def test_the_recipe_follows_data_network_and_budget(settings, recipe):
    config = resolved(**settings)
    assert tuple(getattr(config, name) for name in RECIPE) == recipe


def test_no_part_of_the_recipe_wins_over_what_was_given():
    given_values = {
        "batch_norm": "fixed",
        "scores": "signed",
        "allocation": "uniform",
        "warmup": 0.5,
        "cutout": 0,
    }
    config = resolved(data="cifar10", **given_values)
    assert {name: getattr(config, name) for name in given_values} == given_values


@pytest.mark.parametrize(("epochs", "rate"), [(25, 0.2), (100, 0.1), (400, 0.1)])
def test_short_searches_take_higher_rates_but_not_on_conv_networks(epochs, rate):
    assert resolved(data="cifar10", epochs=epochs).learning_rate == pytest.approx(rate)
    assert resolved(data="cifar10", epochs=epochs, arch="conv6").learning_rate == pytest.approx(0.4)


@pytest.mark.parametrize(("reuse", "rate"), [("recycle", 0.2), ("rerandomize", 0.1), ("hybrid", 0.2)])
def test_the_reuse_rate_follows_the_method(reuse, rate):
    assert resolved(reuse=reuse).reuse_rate == rate


@pytest.mark.parametrize(
    ("epochs", "period"), [(1, 2), (12, 2), (20, 2), (21, 3), (30, 3), (100, 10), (250, 25)]
)
def test_the_reuse_period_is_a_tenth_of_the_epochs_but_at_least_two(epochs, period):
    assert resolved(epochs=epochs).reuse_period == period


def test_events_counted_in_steps_have_no_period_in_epochs():
    assert resolved(reuse_period_steps=300).reuse_period is None


@pytest.mark.parametrize(("scope", "least"), [("layer", 0.0), ("global", 0.01)])
def test_a_global_ranking_is_guarded_unless_asked_otherwise(scope, least):
    assert resolved(scope=scope).layer_minimum == least
    assert resolved(scope="global", layer_minimum=0.0).layer_minimum == 0.0


def test_digits_are_searched_with_lars_and_others_with_sgd():
    assert resolved().optimizer == "lars" and resolved(data="cifar10").optimizer == "sgd"
    assert resolved(optimizer="sgd").optimizer == "sgd"


def test_lars_has_a_rate_of_its_own_at_any_batch():
    config = resolved(optimizer="lars", batch_size=1000)
    assert (config.learning_rate, config.weight_decay) == (0.003, 0.0)
    assert resolved(optimizer="lars", weight_decay=1e-4).weight_decay == 1e-4


@pytest.mark.parametrize("batch", [64, 256])
def test_adam_has_the_published_rate_and_no_decay(batch):
    config = resolved(optimizer="adam", batch_size=batch, arch="conv2")
    assert (config.learning_rate, config.weight_decay) == (0.1, 0.0)


def test_the_choices_are_those_of_the_search():
    """Named again in the configuration, which is read without torch."""
    pairs = {
        config_module.SCORE_RULES: SCORE_RULES,
        config_module.ROUNDINGS: ROUNDINGS,
        config_module.REUSES: REUSES,
        config_module.RECYCLE_FROM: RECYCLE_FROM,
        config_module.OPTIMIZERS: OPTIMIZERS,
        config_module.SCHEDULES: SCHEDULES,
        config_module.PRECISIONS: PRECISIONS,
        config_module.SCALE_FANS: SCALE_FANS,
        config_module.SUBNETWORKS: KINDS,
    }
    assert all(named == known for named, known in pairs.items())


@pytest.mark.parametrize(("batch", "rate"), [(256, 0.1), (128, 0.05), (64, 0.025)])
def test_the_learning_rate_is_linear_in_the_batch_and_twice_as_high_on_digits(batch, rate):
    assert resolved(batch_size=batch, data="cifar10").learning_rate == pytest.approx(rate, rel=1e-15)
    sgd = {"batch_size": batch, "data": "digits", "optimizer": "sgd"}
    assert resolved(**sgd).learning_rate == pytest.approx(2 * rate, rel=1e-15)
    assert resolved(**sgd, arch="conv4").learning_rate == pytest.approx(rate)


@pytest.mark.parametrize(("arch", "decay"), [("conv2", 1e-4), ("conv8", 1e-4), ("resnet18", 5e-4)])
def test_the_weight_decay_follows_the_published_family(arch, decay):
    assert resolved(arch=arch, data="cifar10").weight_decay == decay


@pytest.mark.parametrize(("arch", "decay"), [("conv2", 1e-4), ("resnet18", 5e-3)])
def test_on_digits_networks_with_batch_norm_decay_ten_times_as_fast_with_sgd(arch, decay):
    assert resolved(arch=arch, data="digits", optimizer="sgd").weight_decay == decay


def test_a_custom_arch_has_the_weight_decay_of_others_whatever_its_module_is_called():
    assert resolved(arch="convolutions.mine:net", data="cifar10").weight_decay == 5e-4


def test_paths_are_made_usable_from_anywhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert resolved(data="folder:photos").data == f"folder:{tmp_path}/photos"
    assert resolved(data="folder:~/photos").data == "folder:/home/me/photos"
    assert resolved(data="folder:").data == "folder:"  # refused when it is loaded
    assert resolved(data_root="data").data_root == f"{tmp_path}/data"
    assert resolved(data_root="~/data").data_root == "/home/me/data"
    assert resolved(output_dir="~/runs").output_dir == "/home/me/runs"
    assert resolved(output_dir="runs").output_dir == "runs"


@pytest.mark.parametrize(
    ("settings", "copied"),
    [
        ({"data": "cifar10", "arch": "conv6"}, "next-lowest"),
        ({"data": "folder:/photos", "arch": "conv2", "reuse": "hybrid"}, "next-lowest"),
        ({"data": "cifar10", "arch": "conv6", "recycle_from": "top"}, "top"),
        ({"data": "cifar10", "arch": "resnet18"}, "top"),
        ({"data": "cifar10", "arch": "resnet18", "recycle_from": "next-lowest"}, "next-lowest"),
        ({"data": "digits", "arch": "conv6"}, "top"),
        ({"data": "cifar10", "arch": "conv6", "reuse": "none"}, "top"),
        ({"data": "cifar10", "arch": "conv6", "reuse": "rerandomize"}, "top"),
    ],
)
def test_what_recycling_copies_follows_network_and_data(settings, copied):
    """Where nothing is copied the setting is the neutral one, so that it makes no other search."""
    assert resolved(**settings).recycle_from == copied


def test_digits_draw_signed_constants_whatever_the_kind():
    assert resolved(data="digits", subnetwork="binary").init == "signed_constant"


def test_resolve_leaves_what_was_given():
    given_values = {
        "epochs": 7,
        "batch_size": 10,
        "learning_rate": 0.3,
        "init": "kaiming_uniform",
        "label_smoothing": 0.0,
        "weight_decay": 0.0,
        "reuse_rate": 0.4,
        "reuse_period": 1,
        "min_top1": 0.5,
        "seed": 9,
    }
    config = resolved(**given_values)
    assert {name: getattr(config, name) for name in given_values} == given_values


def test_resolve_twice_is_resolve_once():
    config = resolved(data="cifar10", reuse="rerandomize")
    assert config.resolve() == config


def test_resolve_leaves_open_only_what_may_stay_open():
    values = dataclasses.asdict(RunConfig().resolve())
    unset = {name for name, value in values.items() if value is None}
    free = {"data_root", "image_size", "min_agreement", "min_top1", "max_slowdown", "output_dir", "processes"}
    assert unset == free | {"preset", "learning_rate_after", "reuse_period_steps", "ort_target"}


def test_signs_are_judged_by_the_share_of_images_and_may_lose_more_where_logits_tie():
    signs = resolved(activations="binary")
    assert (signs.min_agreement, signs.max_accuracy_drop, signs.max_difference) == (0.99, 0.02, 1e-4)
    assert resolved().max_accuracy_drop == 0.005
    asked = resolved(activations="binary", min_agreement=0.5, max_accuracy_drop=0.0)
    assert (asked.min_agreement, asked.max_accuracy_drop) == (0.5, 0.0)
    assert resolved(min_agreement=0.9).min_agreement == 0.9


def test_the_options_of_the_architecture_are_one_value():
    config = RunConfig(width=0.5, activations="binary", batch_norm="learned")
    assert config.options == ArchOptions(0.5, "binary", "learned")
    assert RunConfig().options == ArchOptions()


def test_a_dict_of_settings_has_plain_values_and_no_none():
    values = RunConfig().to_dict()
    assert values["export"] == ["onnx"] and "epochs" not in values
    assert set(values) <= set(get_type_hints(RunConfig))
