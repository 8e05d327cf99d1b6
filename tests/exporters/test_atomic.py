"""Atomic writes: a reader sees the old content or the new, and nothing is left behind."""

import errno
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from recycle_pipeline.exporters.atomic import TEMPORARY_MARK, replacing, write_bytes, write_text


def test_the_old_content_stays_until_the_block_ends(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with replacing(path) as temporary:
        temporary.write_bytes(b"ne")
        assert path.read_bytes() == b"old"
        with temporary.open("ab") as more:
            more.write(b"w")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_the_temporary_lies_beside_the_file_is_hidden_and_marked(tmp_path):
    """Beside it, for a rename is atomic within one file system alone."""
    with replacing(tmp_path / "a" / "file.onnx") as temporary:
        temporary.write_bytes(b"")
        assert temporary.parent == tmp_path / "a"
        assert re.fullmatch(rf"\.file\.onnx{re.escape(TEMPORARY_MARK)}[0-9a-f]{{8}}", temporary.name)


def test_missing_parents_are_made(tmp_path):
    write_bytes(tmp_path / "a" / "b" / "file", b"new")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"new"


def test_a_relative_path_without_folder_is_written_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_bytes(Path("file"), b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_text_is_utf8(tmp_path):
    write_text(tmp_path / "file", "Größe\n")
    assert (tmp_path / "file").read_bytes() == b"Gr\xc3\xb6\xc3\x9fe\n"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_removes_the_temporary_and_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(error), replacing(path) as temporary:
        temporary.write_bytes(b"half of the ne")
        raise error
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_an_exception_makes_no_file_where_none_was(tmp_path):
    with pytest.raises(ValueError), replacing(tmp_path / "file") as temporary:
        temporary.write_bytes(b"half")
        raise ValueError
    assert os.listdir(tmp_path) == []


def test_a_block_that_writes_nothing_is_an_os_error_and_leaves_the_old_file(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(OSError), replacing(tmp_path / "file"):
        pass
    assert (tmp_path / "file").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_the_whole_content_is_on_the_disk_before_the_rename_and_the_name_after_it(tmp_path, monkeypatch):
    path, seen, new = tmp_path / "file", [], b"x" * 100_000
    path.write_bytes(b"old")
    synced = lambda fd: seen.append((os.readlink(f"/proc/self/fd/{fd}"), path.read_bytes()))  # noqa: E731
    monkeypatch.setattr(os, "fsync", synced)
    write_bytes(path, new)
    assert [content for _, content in seen] == [b"old", new]
    assert TEMPORARY_MARK in seen[0][0] and seen[1][0] == str(tmp_path)
    assert path.stat().st_size == 100_000


KILLED = """
import os, sys
from pathlib import Path
from recycle_pipeline.exporters.atomic import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half of the ne")
    os._exit(9)
"""


@pytest.mark.parametrize("old", [True, False])
def test_a_killed_process_leaves_the_old_file_and_a_name_with_the_mark(tmp_path, environment, old):
    path = tmp_path / "file"
    if old:
        path.write_bytes(b"old")
    assert subprocess.run([sys.executable, "-c", KILLED, str(path)], env=environment).returncode == 9
    left = [name for name in os.listdir(tmp_path) if TEMPORARY_MARK in name]
    assert len(left) == 1
    assert sorted(os.listdir(tmp_path)) == sorted(left + ["file"] * old)
    assert not old or path.read_bytes() == b"old"


def test_what_a_killed_process_left_does_not_stop_the_next(tmp_path):
    (tmp_path / f".file{TEMPORARY_MARK}00000000").write_bytes(b"half")
    write_bytes(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_two_writers_at_once_do_not_mix(tmp_path):
    path = tmp_path / "file"
    with replacing(path) as one, replacing(path) as two:
        assert one != two
        one.write_bytes(b"one")
        two.write_bytes(b"two")
    assert path.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["file"]


def test_a_reader_at_any_time_reads_a_whole_content(tmp_path, monkeypatch):
    """The disk is not waited for here: 200 replacements beside a reader, of 256 KiB each."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    path, contents = tmp_path / "file", [bytes([n]) * (1 << 18) for n in range(4)]
    write_bytes(path, contents[0])
    done, seen = threading.Event(), set()

    def read() -> None:
        while not done.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for n in range(200):
            write_bytes(path, contents[n % 4])
    finally:
        done.set()
        reader.join()
    assert seen
    assert seen <= set(contents)


def test_a_parent_that_is_a_file_is_an_os_error(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(OSError):
        write_bytes(tmp_path / "file" / "below", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_target_that_is_a_folder_is_an_os_error_and_nothing_is_left(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        write_bytes(tmp_path / "folder", b"new")
    assert os.listdir(tmp_path) == ["folder"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_an_os_error(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o500)
    with pytest.raises(OSError):
        write_bytes(folder / "file", b"new")
    assert os.listdir(folder) == []


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc, which nobody can write")
def test_a_file_system_that_nobody_can_write_is_an_os_error():
    with pytest.raises(OSError):
        write_bytes(Path("/proc/self/recycle-pipeline-test"), b"new")


def test_a_write_that_finds_no_space_says_which_file_it_was(tmp_path):
    """The system names none, and a message without it does not say where to free some."""
    path = tmp_path / "file"
    with pytest.raises(OSError, match="No space left") as caught, replacing(path) as temporary:
        temporary.write_bytes(b"new")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(path) and os.listdir(tmp_path) == []
