"""Progress on stderr: a bar on a terminal, plain lines elsewhere, nothing if quiet."""

import dataclasses
import io
import os
import re
import sys
import threading

import pytest
from rich.console import Console

from recycle_pipeline.pipeline.cli.console import PlainReporter, RichReporter, reporter_for
from recycle_pipeline.pipeline.reporter import Silent
from recycle_pipeline.pipeline.search.records import EpochRecord, EpochSoFar

RECORD = EpochRecord(
    epoch=3,
    loss=0.51234,
    train_accuracy=0.98765,
    test_accuracy=0.97531,
    learning_rate=0.1,
    prune=0.9,
    written=1234567,
    changed=1000,
    images_per_second=2154.6,
    seconds=9.0,
)
SO_FAR = EpochSoFar(loss=0.25, train_accuracy=0.5, prune=0.9, written=0)
LINE = ["search", "--arch", "conv2", "--epochs", "2", "--output-dir", "m", "--data"]
COLOUR = re.compile(r"\x1b\[[0-9;]*?(3[0-8]|9[0-7])[0-9;]*m")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def stderr(here, monkeypatch):
    """Makes stderr a terminal or not; returns what is written to it."""

    def make(terminal):
        stream = Terminal() if terminal else io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm-256color")
        return stream

    return make


@pytest.mark.parametrize(
    ("terminal", "ci", "quiet", "kind"),
    [
        (True, None, False, RichReporter),
        (True, "true", False, PlainReporter),
        (True, "", False, RichReporter),
        (False, None, False, PlainReporter),
        (True, None, True, Silent),
        (False, None, True, Silent),
    ],
)
def test_the_reporter_suits_where_stderr_goes(stderr, monkeypatch, terminal, ci, quiet, kind):
    stderr(terminal)
    if ci is not None:
        monkeypatch.setenv("CI", ci)
    assert type(reporter_for(quiet)) is kind


def report(reporter):
    """A short search, as a stage reports it."""
    reporter.stage("search", "conv2, [bold]0.9[/] removed")
    reporter.search_begins(epochs=12, images=100)
    for step in range(4):
        reporter.search_step(step + 1, 4, SO_FAR)
    reporter.search_epoch(RECORD)
    reporter.search_over()
    reporter.stage("pack", "unchanged, skipped")


LINES = [
    "search  conv2, [bold]0.9[/] removed",
    "search  epoch  3/12  loss 0.512  train 98.8%  test 97.53%  kept 10%  reused 1.23M, 1.0k changed"
    "  2,155 images/s  0:00:27 left",
    "pack    unchanged, skipped",
]


def test_plain_lines_are_plain_and_brackets_stay(stderr):
    written = stderr(terminal=False)
    report(reporter_for(quiet=False))
    assert written.getvalue().splitlines() == LINES


def test_on_a_terminal_the_same_lines_come_with_a_bar(stderr, monkeypatch):
    written = stderr(terminal=True)
    monkeypatch.setenv("COLUMNS", "140")
    report(reporter_for(quiet=False))
    text = written.getvalue()
    assert COLOUR.search(text) and "epoch 12/12" in text and "━" in text
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r", "", text)
    for line in LINES:
        assert line in plain


def test_no_line_is_longer_than_its_terminal(stderr, monkeypatch):
    """Else it is broken in the middle of a word, and an epoch takes two lines."""
    written = stderr(terminal=True)
    monkeypatch.setenv("COLUMNS", "40")
    reporter = reporter_for(quiet=False)
    reporter.stage("search", "resnet18, 0.9 removed; digits (1433 images) of " + "a-path/" * 8)
    reporter.search_epoch(RECORD)
    assert re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written.getvalue()).splitlines() == [
        "search  resnet18, 0.9 removed; digits",
        "        (1433 images) of",
        "        " + "a-path/" * 8,  # whole, so that it can be copied
        "search  epoch 3/0  loss 0.512",
    ]


def test_no_color_is_honoured(stderr, monkeypatch):
    written = stderr(terminal=True)
    monkeypatch.setenv("NO_COLOR", "1")
    report(reporter_for(quiet=False))
    assert "100%" in written.getvalue() and not COLOUR.search(written.getvalue())


def test_the_bar_is_gone_after_the_search_and_a_second_search_has_its_own():
    reporter = RichReporter()
    reporter._console = Console(file=Terminal(), force_terminal=True, width=80)
    for _ in range(2):
        report(reporter)
        assert reporter._bar is None
    reporter.search_over()


def screen_after(width, *told):
    """The lines that were drawn, the last ones last, without colours."""
    reporter = RichReporter()
    screen = Terminal()
    reporter._console = Console(file=screen, force_terminal=True, width=width, color_system=None)
    reporter.search_begins(epochs=12, images=100)
    for name, argument in told:
        getattr(reporter, name)(*argument)
    reporter._bar.refresh()
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    reporter.search_over()
    return re.split(r"[\r\n]+", text.rstrip())


def test_before_the_first_step_the_bar_says_that_the_search_prepares():
    words = screen_after(100)[-1].split()
    assert words[0] == "search" and words[-1] == "preparing"


@pytest.mark.parametrize("width", [80, 100, 140])
def test_a_bar_tells_all_of_the_epoch_under_way_and_fits_its_terminal(width):
    told = [("search_epoch", (RECORD,)), ("search_step", (1, 48, SO_FAR)), ("search_step", (12, 48, SO_FAR))]
    bar, words = screen_after(width, *told)[-2:]
    assert re.search(r"^search +\S+ +25% epoch 4/12 +[\d,]+ images/s +\d:\d\d:\d\d left *$", bar)
    assert words.rstrip() == "        loss 0.250  train 50.0%  test 97.5%  kept 10%  reused 1.23M"
    assert len(bar) <= width and len(words) <= width


def test_a_narrow_terminal_loses_the_last_words_first():
    told = [("search_epoch", (RECORD,)), ("search_step", (1, 48, SO_FAR)), ("search_step", (12, 48, SO_FAR))]
    bar, words = screen_after(60, *told)[-2:]
    assert "epoch 4/12" in bar and "images/s" in bar
    assert words.rstrip() == "        loss 0.250  train 50.0%  test 97.5%  kept 10%"


def test_a_search_that_goes_on_from_the_middle_takes_no_speed_from_what_it_skipped():
    assert "images/s" not in "".join(screen_after(100, ("search_step", (40, 48, SO_FAR))))


def test_what_an_interrupted_search_reused_is_counted_when_it_goes_on(stderr):
    written = stderr(terminal=False)
    reporter = reporter_for(quiet=False)
    reporter.search_begins(epochs=12, images=100)
    reporter.search_resumed([RECORD])
    assert written.getvalue() == ""
    reporter.search_epoch(dataclasses.replace(RECORD, epoch=4, written=0, changed=0, seconds=12.0))
    assert "  reused 1.23M, 1.0k changed  " in written.getvalue()
    assert written.getvalue().endswith("  0:00:24 left\n")


def test_silence_is_silent(stderr):
    written = stderr(terminal=True)
    report(reporter_for(quiet=True))
    assert written.getvalue() == ""


def test_a_failed_search_closes_its_bar(stderr, monkeypatch, write_photos):
    """Else the terminal stays without a cursor."""
    from recycle_pipeline.pipeline.api import run

    closed = []

    class Watched(Silent):
        def search_over(self):
            closed.append(True)

    def fails(*arguments):
        raise RuntimeError("no memory")

    monkeypatch.setattr("recycle_pipeline.pipeline.search.loop.evaluate", fails)
    with pytest.raises(RuntimeError, match="no memory"):
        run(arch="conv2", epochs=1, data=f"folder:{write_photos()}", output_dir="mine", reporter=Watched())
    assert closed == [True]


def received_from(leader):
    """What arrives at a pseudo-terminal until its other end is closed; a pty holds 4 kB, so read at once."""
    parts = []

    def read():
        while True:
            try:
                parts.append(os.read(leader, 4096))
            except OSError:
                return

    reader = threading.Thread(target=read)
    reader.start()
    return reader, parts


def test_the_command_on_a_real_terminal_shows_a_bar_and_leaves_the_cursor_on(here, monkeypatch, write_photos):
    from recycle_pipeline.pipeline.cli import main

    leader, follower = os.openpty()
    reader, parts = received_from(leader)
    monkeypatch.setenv("TERM", "xterm-256color")
    with os.fdopen(follower, "w") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        with pytest.raises(SystemExit) as stop:
            main([*LINE, f"folder:{write_photos()}"])
    reader.join()
    os.close(leader)
    text = b"".join(parts).decode()
    assert stop.value.code == 0
    assert "preparing" in text and "epoch 2/2" in text
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l") >= 0  # shown again after it was hidden


def test_the_command_elsewhere_writes_plain_lines(command, write_photos):
    photos = write_photos()
    err = command(*LINE, f"folder:{photos}").err
    assert "\x1b" not in err and "\r" not in err
    assert [text.split()[0] for text in err.splitlines()] == ["search"] * 3
    assert err.splitlines()[0] == (
        f"search  conv2, 0.9 removed, binary, reuse recycle; folder:{photos} (48 images, 12 to test on), "
        "2 epochs on cpu, a single run"
    )


def test_the_first_line_says_the_prune_rate_as_it_was_given(command, write_photos):
    """0.99999 is not 1."""
    err = command(*LINE, f"folder:{write_photos()}", "--prune", "0.99999", "--epochs", "1").err
    first = err.splitlines()[0]
    assert " 0.99999 removed, " in first and first.endswith(" 1 epoch on cpu, a single run")
