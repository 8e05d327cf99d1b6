"""Which folder a run gets, which folders it refuses, and what is checked before anything is written."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch

from recycle_pipeline.models.errors import CorruptArtefact, UsageFault
from recycle_pipeline.pipeline.config import RunConfig
from recycle_pipeline.pipeline.config_file import read_run_config
from recycle_pipeline.pipeline.given import config_from
from recycle_pipeline.pipeline.reporter import Silent
from recycle_pipeline.pipeline.runner import STAGES, default_folder, plan_run, plan_stage
from recycle_pipeline.pipeline.stages.search import SEARCH, settings_of

GOLDEN = Path(__file__).parents[1] / "golden" / "run-0.1.0"


def planned(forced=(), **settings):
    return plan_run(RunConfig(arch="conv2", **settings), Silent(), forced=forced)


def test_the_stages_are_these_in_this_order():
    assert list(STAGES) == ["search", "pack", "export", "verify"] == [stage.name for stage in STAGES.values()]


def test_a_plan_is_resolved_and_writes_nothing(here, tree):
    plan = planned()
    assert plan.context.config == RunConfig(arch="conv2").resolve()
    assert plan.stages == tuple(STAGES) and plan.forced == frozenset()
    assert tree() == {}


def test_the_default_folder_has_arch_data_prune_and_a_hash(here):
    """Pinned: a user who types the same command after an update must find the same folder."""
    folder = default_folder(RunConfig(arch="conv2").resolve())
    assert folder.as_posix() == "runs/conv2-digits-0.9-9e1652a4"
    assert planned().context.folder.root == folder


@pytest.mark.parametrize(
    ("settings", "start"),
    [
        ({"arch": "my.module:net"}, "my.module-net-digits-0.9-"),
        ({"data": "folder:/data/my photos"}, "resnet18-my-photos-0.9-"),
        ({"data": "folder:photos"}, "resnet18-photos-0.9-"),
        ({"prune": 0.123456789}, "resnet18-digits-0.123457-"),
    ],
    ids=str,
)
def test_the_default_folders_name_is_plain(settings, start):
    assert default_folder(RunConfig(**settings).resolve()).name.startswith(start)


def test_settings_of_the_search_name_another_folder_and_others_do_not():
    config = RunConfig().resolve()
    base = default_folder(config)
    for changes in (
        {"seed": 1},
        {"epochs": 3},
        {"prune": 0.9000001},
        {"reuse_rate": 0.3},
        {"data": "folder:x"},
    ):
        assert default_folder(dataclasses.replace(config, **changes)) != base
    for changes in ({"device": "cpu"}, {"provider": "cpu"}, {"min_top1": 0.5}, {"embed_preprocessing": True}):
        assert default_folder(dataclasses.replace(config, **changes)) == base


def test_a_setting_of_later_versions_has_a_say_only_where_it_is_not_its_default():
    """Folder names and tickets of older versions stay; what differs is named and found in both directions."""
    first = {"scores": "magnitude", "allocation": "uniform", "warmup": 0.0, "recycle_from": "top"}
    config = RunConfig(arch="conv2", data="cifar10", **first).resolve()
    plain = SEARCH.settings(config)
    assert not plain.keys() & SEARCH.unsaid.keys()
    signed = SEARCH.settings(dataclasses.replace(config, scores="signed"))
    assert signed == plain | {"scores": "signed"}
    assert SEARCH.differing(plain, signed) == {"scores": ("magnitude", "signed")}
    assert SEARCH.differing(signed, plain) == {"scores": ("signed", "magnitude")}
    assert SEARCH.differing(plain, plain) == {}


def test_what_is_unsaid_is_what_a_search_of_the_first_version_did():
    """Which had no setting for it; what the default is today does not matter."""
    assert SEARCH.unsaid == {
        "width": 1.0,
        "activations": "relu",
        "batch_norm": "fixed",
        "preset": None,
        "scores": "magnitude",
        "rounding": "edge-popup",
        "layer_minimum": 0.0,
        "recycle_from": "top",
        "reuse_period_steps": None,
        "optimizer": "sgd",
        "schedule": "cosine",
        "processes": None,
        "hold_out": 0,
        "cutout": 0,
        "allocation": "uniform",
        "learning_rate_after": None,
        "precision": "auto",
    }


def test_every_setting_is_read_by_a_stage_or_known_to_change_no_result():
    """A new setting must be put on one of the two lists, else it would silently skip what it changes."""
    read = {key for stage in STAGES.values() for key in stage.config_keys}
    harmless = {"device", "data_root", "download", "output_dir", "tensorboard"}
    harmless |= {"skip_unreadable"}  # what it leaves is in the digest of the data
    assert read | harmless == set(RunConfig.__dataclass_fields__) and not read & harmless


def test_the_searchs_settings_are_those_of_the_config():
    given = {"prune": 0.7, "seed": 4, "warmup": 1.5, "scope": "global", "reuse": "rerandomize"}
    config = RunConfig(**given, learning_rate_after="2:0.5").resolve()
    settings = settings_of(config)
    assert settings.learning_rate_after == ((2, 0.5),)
    for field in dataclasses.fields(settings):
        if field.name not in ("recipe", "learning_rate_after"):
            assert getattr(settings, field.name) == getattr(config, field.name)
    recipe = dataclasses.asdict(settings.recipe)
    assert recipe.pop("kind") == config.subnetwork
    assert recipe == {name: getattr(config, name) for name in recipe}
    assert set(SEARCH.config_keys) >= recipe.keys()


def test_a_search_by_steps_has_no_period_in_epochs():
    settings = settings_of(RunConfig(reuse_period_steps=30, reuse="hybrid").resolve())
    assert (settings.reuse_period, settings.reuse_period_steps) == (0, 30)


def test_an_unknown_stage_to_force_is_refused(here):
    with pytest.raises(
        UsageFault, match=r"^unknown stage 'train'; expected one of search, pack, export, verify$"
    ):
        planned(forced=["train"])


def test_an_empty_folder_is_free(here):
    (here / "free").mkdir()
    assert planned(output_dir="free").context.folder.root.name == "free"


def test_a_file_is_no_output_folder(here):
    (here / "file").write_text("")
    with pytest.raises(
        UsageFault, match=r"^--output-dir file is a file; expected a folder, or a name that is free$"
    ):
        planned(output_dir="file")


def test_a_folder_with_foreign_files_is_refused(here):
    (here / "other").mkdir()
    (here / "other" / "thesis.tex").write_text("")
    with pytest.raises(
        UsageFault, match=r"^--output-dir other is not empty and holds no run; choose another folder$"
    ):
        planned(output_dir="other")


def test_what_a_killed_write_left_is_no_foreign_file(here):
    """Else a run killed while it writes its first file could not be started again."""
    (here / "mine").mkdir()
    (here / "mine" / ".config.toml.partial-0a1b2c3d").write_text("arch")
    planned(output_dir="mine")


def test_a_folder_of_another_run_is_refused_and_the_difference_named(run_copy):
    with pytest.raises(UsageFault) as caught:
        planned(output_dir="mine", epochs=2, seed=5)
    assert str(caught.value) == (
        "--output-dir mine holds another run (epochs 1 there, 2 asked; seed 0 there, 5 asked); "
        "choose another folder, or --force search to replace it"
    )


def test_of_many_differences_four_are_named(run_copy):
    with pytest.raises(UsageFault) as caught:
        planned(output_dir="mine", prune=0.5, subnetwork="continuous", scope="global", seed=1, momentum=0.5)
    assert str(caught.value).count(" there, ") == 4


def test_forcing_the_search_replaces_another_run(run_copy):
    assert planned(forced=["search"], output_dir="mine", epochs=2).forced == {"search"}
    with pytest.raises(UsageFault, match="holds another run"):
        planned(forced=["pack", "export", "verify"], output_dir="mine", epochs=2)


def test_a_search_that_did_not_finish_is_known_by_its_config(run_copy):
    shutil.move(run_copy / "manifest.json", run_copy / "away.json")
    planned(output_dir="mine", epochs=1)
    with pytest.raises(UsageFault, match="epochs 1 there, 2 asked"):
        planned(output_dir="mine", epochs=2)


@pytest.mark.parametrize("name", ["config.toml", "manifest.json"])
def test_a_damaged_file_of_the_run_is_named(run_copy, name):
    (run_copy / "manifest.json").unlink()
    (run_copy / name).write_text("{")
    with pytest.raises(CorruptArtefact, match=f"^mine/{name} is damaged"):
        planned(output_dir="mine", epochs=1)


def test_one_stage_of_a_run_has_the_runs_settings_and_the_changes(run_copy):
    plan = plan_stage(run_copy, "verify", {"min_top1": 0.5}, Silent(), arch=None, force=True)
    assert plan.stages == ("verify",) and plan.forced == {"verify"}
    assert (plan.context.config.epochs, plan.context.config.min_top1) == (1, 0.5)
    assert not plan_stage(run_copy, "verify", {}, Silent(), arch=None, force=False).forced


def test_a_setting_unknown_to_this_version_in_a_runs_config_is_refused(run_copy):
    with (run_copy / "config.toml").open("a") as file:
        file.write("colour = 'red'\n")
    with pytest.raises(UsageFault, match="unknown setting 'colour'"):
        plan_stage(run_copy, "pack", {}, Silent(), arch=None, force=False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_search_found_on_cuda_in_tf32_is_gone_on_from_without_it_but_not_done_again(here):
    shutil.copytree(GOLDEN, "run")
    manifest = Path("run/manifest.json")
    known = json.loads(manifest.read_text())
    known["stages"]["search"]["config"]["precision"] = "tf32"
    manifest.write_text(json.dumps(known))
    given = read_run_config(Path("run/config.toml")) | {"precision": "tf32", "output_dir": "run"}
    assert plan_run(config_from(given), Silent()).stages == tuple(STAGES)
    for forced, folder in ((["search"], "run"), ([], "another")):
        with pytest.raises(UsageFault, match="--precision tf32 is for CUDA"):
            plan_run(config_from(given | {"output_dir": folder}), Silent(), forced=forced)
