"""A stage whose inputs did not change is skipped; one whose inputs or outputs did is redone, and no other."""

import os
import re

import pytest

from recycle_pipeline.pipeline.manifest import read_manifest
from recycle_pipeline.pipeline.stages import stage as stage_module

STAGES = ("search", "pack", "export", "verify")
SKIPPED = "".join(f"{name:7} unchanged, skipped\n" for name in STAGES)


def done(outcome):
    """The stages that ran, by what the command said."""
    assert outcome.code == 0, outcome.err
    said = {name: re.findall(rf"^{name} +(.*)$", outcome.err, re.MULTILINE) for name in STAGES}
    assert all(said.values())
    return [name for name in STAGES if said[name] != ["unchanged, skipped"]]


@pytest.fixture
def again(command, run_copy, same_run):
    """The command that made the run, on its copy."""
    return lambda *options: command("run", *same_run, "mine", *options)


def test_an_unchanged_run_is_skipped_says_so_and_rewrites_nothing(again, run_copy, tree):
    """config.toml is the one file that is written anew, for it names the folder."""
    again()
    before = tree(run_copy)
    outcome = again()
    after = tree(run_copy)
    assert (outcome.code, outcome.err) == (0, SKIPPED)
    assert {n: v for n, v in after.items() if n != "config.toml"} == {
        n: v for n, v in before.items() if n != "config.toml"
    }
    assert after["config.toml"][0] == before["config.toml"][0]


def test_a_skipped_run_prints_what_the_first_one_printed(again):
    assert again("--force", "verify").out == again().out


def test_settings_that_change_no_result_redo_nothing(again):
    assert done(again("--device", "cpu", "--download", "--data-root", "elsewhere")) == []


@pytest.mark.parametrize(
    ("options", "stages"),
    [
        (("--embed-preprocessing",), ["export", "verify"]),
        (("--no-shrink",), ["export", "verify"]),
        (("--ort-target", "1.15"), ["export"]),  # the same bytes: what is usual runs there
        (("--provider", "cpu"), ["verify"]),
        (("--max-difference", "0.5"), ["verify"]),
        (("--max-accuracy-drop", "0.5"), ["verify"]),
        (("--min-top1", "0.1"), ["verify"]),
        (("--max-slowdown", "1000"), ["verify"]),
        (("--force", "search", "--seed", "3"), list(STAGES)),
    ],
    ids=str,
)
def test_a_changed_setting_redoes_the_stages_that_read_it(again, options, stages):
    assert done(again(*options)) == stages
    assert done(again(*(o for o in options if o not in ("--force", "search")))) == []


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("metrics.jsonl", ["search"]),
        ("search.safetensors", ["search"]),
        ("ticket.safetensors", ["pack"]),
        ("onnx/model.onnx", ["export"]),
        ("verify.json", ["verify"]),
    ],
)
@pytest.mark.parametrize("damage", ["removed", "one byte"])
def test_a_damaged_or_removed_output_is_made_again(again, run_copy, tree, name, stages, damage):
    """What comes out is the same bytes, so later stages stay; times in .json and .jsonl aside."""
    path = run_copy / name
    content = path.read_bytes()
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(content[:50] + bytes([content[50] ^ 1]) + content[51:])
    assert done(again()) == stages
    if path.suffix not in (".jsonl", ".json"):
        assert path.read_bytes() == content
    assert done(again()) == []


@pytest.mark.parametrize("stage", STAGES)
def test_forcing_a_stage_redoes_it_and_later_ones_only_if_its_content_changed(again, stage):
    assert done(again("--force", stage)) == [stage]


def test_two_stages_may_be_forced(again):
    assert done(again("--force", "verify", "--force", "pack")) == ["pack", "verify"]


def test_another_version_of_the_tool_redoes_everything(again, monkeypatch):
    monkeypatch.setattr(stage_module, "VERSION", "0.2.0")
    assert done(again())[:2] == ["search", "pack"]


def test_a_raised_schema_redoes_that_stage(again, monkeypatch):
    import dataclasses

    from recycle_pipeline.pipeline import runner

    raised = dataclasses.replace(runner.STAGES["pack"], schema=2)
    monkeypatch.setitem(runner.STAGES, "pack", raised)
    assert done(again()) == ["pack"]


def test_a_lost_manifest_redoes_everything(again, run_copy):
    (run_copy / "manifest.json").unlink()
    assert done(again()) == list(STAGES)


def test_a_redone_stage_replaces_its_entry_and_keeps_the_others(again, run_copy):
    before = read_manifest(run_copy / "manifest.json").stages
    again("--min-top1", "0.1")
    after = read_manifest(run_copy / "manifest.json").stages
    assert after["verify"].config["min_top1"] == 0.1 and after["verify"].key != before["verify"].key
    assert all(after[name] == before[name] for name in STAGES[:3])


SEARCH = ("search", "--arch", "conv2", "--epochs", "1", "--output-dir", "run", "--data")


def searched(outcome):
    assert outcome.code == 0, outcome.err
    return outcome.err != "search  unchanged, skipped\n"


def test_changed_pixels_redo_the_search_though_sizes_and_time_stamps_are_equal(command, write_photos):
    photos = write_photos(each=10)
    stamps = {path: os.stat(path) for path in photos.rglob("*.bmp")}
    assert searched(command(*SEARCH, f"folder:{photos}"))
    write_photos(each=10, seed=1)
    for path, stamp in stamps.items():
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
        assert os.stat(path).st_size == stamp.st_size
    assert searched(command(*SEARCH, f"folder:{photos}"))
    assert not searched(command(*SEARCH, f"folder:{photos}"))


def test_touched_but_equal_pixels_redo_nothing(command, write_photos):
    photos = write_photos(each=10)
    assert searched(command(*SEARCH, f"folder:{photos}"))
    for path in photos.rglob("*.bmp"):
        os.utime(path, (1, 1))
    assert not searched(command(*SEARCH, f"folder:{photos}"))


def test_a_renamed_class_is_other_data(command, write_photos):
    photos = write_photos(each=10)
    assert searched(command(*SEARCH, f"folder:{photos}"))
    (photos / "c").rename(photos / "d")
    assert searched(command(*SEARCH, f"folder:{photos}"))


def test_changed_source_of_a_custom_arch_redoes_the_search(command, write_photos, custom_module, here):
    module = custom_module()
    line = (*SEARCH, f"folder:{write_photos(each=10)}", "--arch", f"{module}:net")
    assert searched(command(*line))
    assert not searched(command(*line))
    with (here / f"{module}.py").open("a") as source:
        source.write("\n# edited\n")
    assert searched(command(*line))
