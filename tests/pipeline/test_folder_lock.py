"""Two processes do not work in one run folder at a time."""

import fcntl

import pytest

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.folder_lock import alone_in


def test_a_folder_that_is_held_is_refused_and_free_again_afterwards(tmp_path):
    with alone_in(tmp_path / "a" / "run"):
        refusal = r"^another process is at work in .*run; wait for its end, or give another folder$"
        with pytest.raises(UsageFault, match=refusal), alone_in(tmp_path / "a" / "run"):
            pass
        with alone_in(tmp_path / "a" / "other"):
            pass
    with alone_in(tmp_path / "a" / "run"):
        assert list((tmp_path / "a" / "run").iterdir()) == []


def test_a_failure_lets_go(tmp_path):
    with pytest.raises(KeyError), alone_in(tmp_path):
        raise KeyError
    with alone_in(tmp_path):
        pass


def test_a_file_system_without_such_locks_is_worked_on_all_the_same(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with alone_in(tmp_path), alone_in(tmp_path):
        pass


@pytest.mark.parametrize("line", [("pack", "mine"), ("verify", "mine", "--force")])
def test_a_command_in_a_folder_that_is_held_is_refused_and_writes_nothing(command, run_copy, tree, line):
    before = tree()
    with alone_in(run_copy):
        outcome = command(*line)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("Error: another process is at work in mine;")
    assert tree() == before


def test_a_run_in_a_folder_that_is_held_is_refused(command, same_run, tree, here):
    with alone_in(here / "mine"):
        outcome = command("run", *same_run, "mine")
        assert outcome.code == 2 and "another process is at work in mine" in outcome.err
        assert tree() == {"mine": None}
