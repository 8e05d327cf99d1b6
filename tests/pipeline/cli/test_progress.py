"""What records add up to, and how that reads."""

import dataclasses

import pytest

from recycle_pipeline.pipeline.cli.progress import SearchProgress, clock, epoch_words, fitting, kept
from recycle_pipeline.pipeline.search.records import EpochRecord, EpochSoFar
from recycle_pipeline.pipeline.wording import short

RECORD = EpochRecord(
    epoch=1,
    loss=0.51234,
    train_accuracy=0.98765,
    test_accuracy=0.97531,
    learning_rate=0.1,
    prune=0.9,
    written=0,
    changed=0,
    images_per_second=2154.6,
    seconds=10.0,
)


BEFORE = EpochSoFar(loss=None, train_accuracy=None, prune=0.9, written=0)
UNDER_WAY = EpochSoFar(loss=0.25, train_accuracy=0.5, prune=0.5, written=2000)


def after(*changes, epochs=12):
    """Progress, and the last line, after records that differ from RECORD as said."""
    progress, line = SearchProgress(epochs), ""
    for change in changes:
        record = dataclasses.replace(RECORD, **change)
        progress.add(record)
        line = "  ".join(epoch_words(record, progress))
    return progress, line


def test_an_epoch_is_one_line_of_words():
    assert after({})[1] == (
        "epoch  1/12  loss 0.512  train 98.8%  test 97.53%  kept 10%  reused 0  2,155 images/s  0:01:50 left"
    )


def test_a_line_says_what_the_accuracy_was_measured_on():
    progress, line = after({"test_accuracy": None, "held_out_accuracy": 0.96})
    assert "  held out 96.00%" in line and "test" not in line
    assert "held out 96.0%" in progress.live(BEFORE)


def test_what_was_reused_adds_up():
    event = {"written": 1_000_000, "changed": 400_000}
    progress, line = after({}, {"epoch": 2, **event}, {"epoch": 3, **event}, {"epoch": 4})
    assert (progress.written, progress.changed) == (2_000_000, 800_000)
    assert "  reused 2.00M, 800.0k changed" in line


def test_the_live_words_are_of_the_epoch_under_way_once_something_is_known_of_it():
    progress, _ = after()
    assert progress.live(BEFORE) == ["kept 10%", "reused 0"]
    assert progress.live(UNDER_WAY) == ["loss 0.250", "train 50.0%", "kept 50%", "reused 2.0k"]
    progress, _ = after({"written": 1000})
    last = ["loss 0.512", "train 98.8%", "test 97.5%"]
    assert progress.live(BEFORE) == [*last, "kept 10%", "reused 1.0k"]
    assert progress.live(UNDER_WAY) == ["loss 0.250", "train 50.0%", "test 97.5%", "kept 50%", "reused 3.0k"]


@pytest.mark.parametrize(
    ("prune", "words"),
    [(0.9, "kept 10%"), (0.95, "kept 5%"), (0.999, "kept 0.1%"), (0.6254, "kept 37.5%"), (0.5, "kept 50%")],
)
def test_the_kept_fraction_has_the_digits_it_needs(prune, words):
    assert kept(prune) == words and f"  {words}  " in after({"prune": prune})[1]


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ([], None),
        ([{"seconds": 30.0}], 330),  # the first epoch is all there is to go by
        ([{"seconds": 30.0}, {"epoch": 2, "seconds": 40.0}], 100),  # what it prepared is not done again
        ([{"epoch": 11, "seconds": 5.0}, {"epoch": 12, "seconds": 9.0}], 0),
    ],
)
def test_the_time_left_is_that_of_the_epochs_seen(changes, left):
    assert after(*changes)[0].seconds_left == left


def test_the_last_epoch_has_no_time_left():
    assert after({"epoch": 11}, {"epoch": 12, "seconds": 20.0})[1].endswith("images/s")


def test_a_short_form_drops_its_last_words_first():
    words = ["epoch 1/2", "kept 10.0%", "loss 0.5"]
    assert fitting(words, 100) == "epoch 1/2  kept 10.0%  loss 0.5"
    assert fitting(words, 21) == "epoch 1/2  kept 10.0%"
    assert fitting(words, 20) == fitting(words, -9) == "epoch 1/2"


def test_counts_and_times_are_for_people():
    assert [short(n) for n in (0, 999, 12_345, 2_232_630, 1_203_000_000)] == [
        "0",
        "999",
        "12.3k",
        "2.23M",
        "1.20G",
    ]
    assert [clock(s) for s in (0, 59.6, 70, 36_005)] == ["0:00:00", "0:01:00", "0:01:10", "10:00:05"]
