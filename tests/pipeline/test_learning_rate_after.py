"""--learning-rate-after: a search that stopped goes on with another learning rate, and no other does."""

import json
import shutil

import pytest

from recycle_pipeline.exporters.ticket.reader import read_verified
from recycle_pipeline.models.errors import RecycleError, UsageFault
from recycle_pipeline.pipeline.config import RunConfig
from recycle_pipeline.pipeline.given import config_from
from recycle_pipeline.pipeline.manifest import read_manifest
from recycle_pipeline.pipeline.rate_changes import rate_changes, seen_by
from recycle_pipeline.pipeline.reporter import Silent
from recycle_pipeline.pipeline.run_folder import RunFolder
from recycle_pipeline.pipeline.runner import default_folder, execute, plan_run

# Its scores grow by a factor from step to step, beyond float32 in the second epoch.
TOO_FAST = ("--optimizer", "sgd", "--learning-rate", 5000, "--weight-decay", 0.005, "--schedule", "constant")
LINE = ("search", "--arch", "conv2", "--width", 0.25, "--epochs", 4, *TOO_FAST, "--output-dir")
LOWER = ("--learning-rate-after", "1:500")


@pytest.fixture(scope="module")
def stopped_once(tmp_path_factory):
    """A run folder whose search stopped in its second epoch, and what it said."""
    root = tmp_path_factory.mktemp("stopped") / "mine"
    given = {name.replace("-", "_"): value for name, value in pairs(LINE[1:-1])}
    plan = plan_run(config_from({**given, "output_dir": root}), Silent(), ["search"])
    with pytest.raises(RecycleError) as caught:
        execute(plan)
    return root, str(caught.value)


def pairs(words):
    return [(name.removeprefix("--"), value) for name, value in zip(words[::2], words[1::2], strict=True)]


@pytest.fixture
def stopped(stopped_once, here):
    """A copy of that folder, at `mine` in the current folder."""
    return RunFolder(shutil.copytree(stopped_once[0], here / "mine"))


def test_what_can_be_done_is_said_with_the_steps_and_rates(stopped_once):
    root, said = stopped_once
    assert said == (
        "the scores are not finite though the loss is, since one of steps 24 to 46, in epoch 2 "
        "(learning rate 5e+03); "
        "try a lower --learning-rate than 5000, or a larger --batch-size. "
        f"What it had after epoch 1 is kept in {root / 'checkpoint.safetensors'}: "
        "the same command with --learning-rate-after 1:500 continues there at a lower rate "
        "(without it, on a CPU, to the same end); "
        "another setting is another search, which begins anew: give --force search, or another --output-dir"
    )


def test_the_search_goes_on_as_advised_to_the_bytes_of_one_that_had_the_setting_from_the_first(
    command, stopped, here
):
    outcome = command(*LINE, "mine", *LOWER)
    assert outcome.code == 0 and "search  continues after epoch 1 of 4" in outcome.err
    assert command(*LINE, "whole", *LOWER).code == 0
    assert stopped.searched.read_bytes() == (here / "whole" / "search.safetensors").read_bytes()


def test_manifest_ticket_and_metrics_say_which_rates_it_had(command, stopped):
    assert command(*LINE, "mine", *LOWER).code == 0
    rates = [json.loads(line)["learning_rate"] for line in stopped.metrics.read_text().splitlines()]
    assert rates == [5000.0, 500.0, 500.0, 500.0]
    config = read_manifest(stopped.manifest).stages["search"].config
    assert (config["learning_rate"], config["learning_rate_after"]) == (5000.0, "1:500.0")
    assert read_verified(stopped.searched)[0].recipe["learning_rate_after"] == "1:500.0"


def test_once_finished_it_is_that_run_and_no_other(command, stopped):
    assert command(*LINE, "mine", *LOWER).code == 0
    assert "unchanged, skipped" in command(*LINE, "mine", "--learning-rate-after", "1:5e2").err
    for other in ((), ("--learning-rate-after", "1:400")):
        outcome = command(*LINE, "mine", *other)
        assert outcome.code == 2 and "holds another run (learning_rate_after 1:500.0 there" in outcome.err


@pytest.mark.parametrize("other", [("--learning-rate", 500), ("--weight-decay", 0), ("--seed", 1)], ids=str)
def test_other_settings_are_another_run_still(command, stopped, other):
    outcome = command(*LINE, "mine", *LOWER, *other)
    assert outcome.code == 2 and "holds another run" in outcome.err and stopped.checkpoint.is_file()


@pytest.fixture
def further(command, stopped, monkeypatch):
    """The same folder, interrupted once more: with the lower rate, in the last epoch."""

    def interrupted(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("recycle_pipeline.pipeline.search.loop.evaluate", interrupted)
        assert command(*LINE, "mine", *LOWER).code == 130
    return stopped


@pytest.mark.parametrize("after", [None, "2:500", "1:400"])
def test_a_rate_of_epochs_that_are_done_is_refused_and_the_checkpoint_stays(command, further, after):
    outcome = command(*LINE, "mine", *(("--learning-rate-after", after) if after else ()))
    assert outcome.code == 2 and further.checkpoint.is_file()
    there = "1:500.0 there, " + ("None here" if after is None else f"{after}.0 here")
    assert f"whose first 3 epochs had another learning rate (learning_rate_after {there})" in outcome.err


def test_it_may_change_again_after_what_is_done(command, further):
    outcome = command(*LINE, "mine", "--learning-rate-after", "1:500,3:1")
    assert outcome.code == 0 and "continues after epoch 3 of 4" in outcome.err


def test_force_begins_anew(command, stopped):
    outcome = command(*LINE, "mine", *LOWER, "--force", "search")
    assert outcome.code == 0 and "continues" not in outcome.err


def test_the_default_folder_is_that_of_the_search_without_it():
    plain, lower, other = (
        RunConfig(**given).resolve() for given in ({}, {"learning_rate_after": "2:0.1"}, {"seed": 1})
    )
    assert default_folder(plain) == default_folder(lower) != default_folder(other)


@pytest.mark.parametrize(
    "text", ["", "3", "3:", ":1", "0:1", "3:0", "3:-1", "3:nan", "3:1,2:1", "3:1,3:2", "a:1"]
)
def test_what_is_no_list_of_epochs_and_rates_is_refused(text):
    with pytest.raises(UsageFault, match=r"^--learning-rate-after .*: expected EPOCHS:RATE"):
        RunConfig(learning_rate_after=text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("3:1e9", "--learning-rate-after 1e.09: expected"),
        ("12:1", "12:1 has no effect on a search of 12 epochs"),
    ],
)
def test_what_cannot_be_or_has_no_effect_is_refused(text, said):
    with pytest.raises(UsageFault, match=said):
        RunConfig(learning_rate_after=text).resolve()


def test_only_changes_before_an_epochs_end_were_seen_by_it():
    assert rate_changes("2:1,5:.5") == ((2, 1.0), (5, 0.5)) and rate_changes(None) == ()
    assert [seen_by("2:1,5:.5", epochs) for epochs in (2, 3, 5, 6)] == [None, "2:1.0", "2:1.0", "2:1.0,5:0.5"]
