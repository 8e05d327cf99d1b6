"""Two processes do not work in one run folder at a time, and a dead one does not stop the next."""

import dataclasses
import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline import folder_lock
from recycle_pipeline.pipeline.folder_lock import STALE_SECONDS, alone_in
from recycle_pipeline.pipeline.lock_holder import Holder

OTHER_HOST = Holder(4711, "elsewhere", "another boot", 99, "2026-01-01 00:00:00 UTC")


@pytest.fixture(params=["flock", "file"])
def way(request, monkeypatch):
    """With the locks of the file system, and as on one that has none."""
    if request.param == "file":
        monkeypatch.setattr(fcntl, "flock", refuse)
    return request.param


def refuse(*arguments):
    raise OSError(95, "Operation not supported")


def names(root):
    return sorted(path.name for path in root.iterdir())


def test_a_folder_that_is_held_is_refused_by_pid_and_host_and_free_again_afterwards(tmp_path, way):
    host = os.uname().nodename
    refusal = (
        rf"^another process is at work in .*run \(process {os.getpid()} on {host}, since 20..-..-.. ..:..:.. "
        r"UTC\); wait for its end, or give another folder$"
    )
    with alone_in(tmp_path / "a" / "run"):
        with pytest.raises(UsageFault, match=refusal), alone_in(tmp_path / "a" / "run"):
            pass
        with alone_in(tmp_path / "a" / "other"):
            pass
    assert names(tmp_path / "a" / "run") == []
    with alone_in(tmp_path / "a" / "run"):
        assert names(tmp_path / "a" / "run") == [".lock"]


def test_a_failure_lets_go(tmp_path, way):
    with pytest.raises(KeyError), alone_in(tmp_path):
        raise KeyError
    with alone_in(tmp_path):
        pass
    assert names(tmp_path) == []


HOLDING = """
import fcntl, sys, time
from pathlib import Path
from recycle_pipeline.pipeline.folder_lock import alone_in
if sys.argv[2] == "file":
    def refuse(*arguments):
        raise OSError(95, "Operation not supported")
    fcntl.flock = refuse
with alone_in(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(100)
"""


def test_a_killed_process_holds_nothing(tmp_path, import_path, way):
    line = [sys.executable, "-c", HOLDING, str(tmp_path), way]
    process = subprocess.Popen(line, env=import_path, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(UsageFault, match=f"process {process.pid} on "), alone_in(tmp_path):
            pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert names(tmp_path) == [".lock"]
    with alone_in(tmp_path):
        assert Holder.read(tmp_path / ".lock").pid == os.getpid()
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "holder",
    [
        dataclasses.replace(Holder.here(), started=1),  # its pid is this process's now
        dataclasses.replace(Holder.here(), pid=2**22 + 1),  # more than the system gives
        None,
    ],
    ids=["pid reused", "pid free", "no name"],
)
def test_a_lock_of_a_process_that_is_gone_is_stale_at_once(tmp_path, way, holder):
    write(tmp_path / ".lock", holder, old=holder is None)
    with alone_in(tmp_path):
        assert Holder.read(tmp_path / ".lock").pid == os.getpid()
    assert names(tmp_path) == []


def test_where_there_is_no_flock_another_hosts_lock_holds_until_it_gives_no_sign(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", refuse)
    write(tmp_path / ".lock", OTHER_HOST, old=False)
    refusal = (
        r"process 4711 on elsewhere, since .*; if that one is gone, remove .*\.lock, or come back in 10 min"
    )
    with pytest.raises(UsageFault, match=refusal), alone_in(tmp_path):
        pass
    write(tmp_path / ".lock", OTHER_HOST, old=True)
    with alone_in(tmp_path):
        pass
    assert names(tmp_path) == []


def test_with_flock_another_hosts_lock_that_nobody_holds_is_stale_at_once(tmp_path):
    write(tmp_path / ".lock", OTHER_HOST, old=False)
    with alone_in(tmp_path):
        pass


def test_where_there_is_no_flock_a_holder_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(folder_lock, "SIGN_SECONDS", 0.01)
    with alone_in(tmp_path):
        os.utime(tmp_path / ".lock", (0, 0))
        end = time.monotonic() + 60
        while (tmp_path / ".lock").stat().st_mtime == 0:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_lock_that_was_taken_over_meanwhile_is_not_removed(tmp_path, monkeypatch):
    """What `_take_away` meets if another process was quicker."""
    monkeypatch.setattr(fcntl, "flock", refuse)
    with alone_in(tmp_path):
        folder_lock._take_away(tmp_path / ".lock")
        assert names(tmp_path) == [".lock"]
        with pytest.raises(UsageFault), alone_in(tmp_path):
            pass


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"pid": 1}', b"\xff", b"[" * 100_000])
def test_a_lock_file_that_is_no_lock_names_nobody(tmp_path, content):
    (tmp_path / ".lock").write_bytes(content)
    assert Holder.read(tmp_path / ".lock") is None


def write(path, holder, *, old):
    path.write_text("" if holder is None else json.dumps(dataclasses.asdict(holder)))
    if old:
        then = time.time() - STALE_SECONDS - 60
        os.utime(path, (then, then))


@pytest.mark.parametrize("line", [("pack", "mine"), ("verify", "mine", "--force")])
def test_a_command_in_a_folder_that_is_held_is_refused_and_writes_nothing(command, run_copy, tree, line):
    with alone_in(run_copy):
        before = tree()
        outcome = command(*line)
        assert tree() == before
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"Error: another process is at work in mine (process {os.getpid()} on ")


def test_a_run_in_a_folder_that_is_held_is_refused(command, same_run, tree, here):
    with alone_in(here / "mine"):
        outcome = command("run", *same_run, "mine")
        assert outcome.code == 2 and "another process is at work in mine" in outcome.err
        assert [name for name in tree() if "partial" in name] == []


def test_a_command_works_where_the_file_system_has_no_locks_left(command, run_copy, monkeypatch):
    """As NFS without its lock service; two at a time are refused there too."""

    def refuse(*arguments):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with alone_in(run_copy):
        outcome = command("pack", "mine", "--force")
        assert outcome.code == 2 and f"at work in mine (process {os.getpid()} on " in outcome.err
    assert command("pack", "mine", "--force").code == 0
    assert ".lock" not in names(run_copy)
