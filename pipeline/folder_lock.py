"""One process at a time in a run folder: two would write over one another's files.

The lock is flock(2) on the file `.lock` in the folder, which names its holder: the system lets go of it when
the process ends, however it ends, so a lock file that a killed process left counts for nothing, whatever
process has its number now; and over NFS, where flock needs a file that is open for writing, it holds between
machines. Where the file system knows no flock, the file itself is the lock, made by O_EXCL: it counts for
nothing once its holder is seen to be gone, or, where that cannot be seen from here, once it has given no sign
for `STALE_SECONDS`. Two that find such a lock stale at the same moment and are both interrupted between two
calls could both believe that they hold it; flock has no such gap.
"""

import fcntl
import os
import secrets
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recycle_pipeline.exporters.atomic import TEMPORARY_MARK
from recycle_pipeline.models.errors import RecycleError, UsageFault
from recycle_pipeline.pipeline.lock_holder import Holder

NAME = ".lock"
Check = Callable[[], None]
SIGN_SECONDS = 30.0  # between two signs of life, where there is no flock
STALE_SECONDS = 600.0


@contextmanager
def alone_in(root: Path) -> Iterator[Check]:
    """Holds the folder, which is made if it is not there.

    Yields:
        What raises RecycleError if the folder was removed meanwhile, or the lock taken by another process.

    Raises:
        UsageFault: another process holds it; says which.
        OSError: the folder cannot be written.
    """
    root.mkdir(parents=True, exist_ok=True)
    path = root / NAME
    with _by_flock(path) if _knows_flock(path) else _by_file(path) as file:

        def check() -> None:
            if not _is(path, file):
                raise RecycleError(
                    f"{root} was removed or replaced while this command worked in it, and what it had done "
                    "with it; run the same command again"
                )

        yield check


@contextmanager
def _by_flock(path: Path) -> Iterator[int]:
    file = _flocked(path)
    try:
        Holder.here().write(file)
        yield file
    finally:
        if _is(path, file):  # while it is held: who opened it before finds that it has another one
            path.unlink(missing_ok=True)
        os.close(file)


def _is(path: Path, file: int) -> bool:
    """Whether an open file is the one that bears the name."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return os.path.samestat(os.fstat(file), path.stat())
    return False


def _flocked(path: Path) -> int:
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise UsageFault(f"{path} is no file; remove it, it was not made by this tool")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is(path, file):
                return file
        except BlockingIOError as error:
            os.close(file)
            raise _refusal(path) from error
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # removed by its last holder in between


@contextmanager
def _by_file(path: Path) -> Iterator[int]:
    while True:
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            break
        except FileExistsError as error:
            if not _is_stale(path):
                raise _refusal(path, by_file=True) from error
            _take_away(path)
    over = threading.Event()
    signs = threading.Thread(target=_give_signs, args=(file, over), name="lock", daemon=True)
    signs.start()
    try:
        Holder.here().write(file)
        yield file
    finally:
        over.set()
        signs.join()  # before its file is closed
        if _is(path, file):
            path.unlink(missing_ok=True)
        os.close(file)


def _give_signs(file: int, over: threading.Event) -> None:
    while not over.wait(SIGN_SECONDS):
        with suppress(OSError):
            os.utime(file)


def _is_stale(path: Path) -> bool:
    holder = Holder.read(path)
    gone = (
        holder.is_gone() if holder else None
    )  # a file without a name: its maker is about to write it, or died
    if gone is not None:
        return gone
    with suppress(FileNotFoundError):
        return _now_there(path) - path.stat().st_mtime > STALE_SECONDS
    return False


def _take_away(path: Path) -> None:
    """Removes a stale lock, but not the one that another process has put in its place meanwhile."""
    aside = path.with_name(f"{path.name}{TEMPORARY_MARK}{secrets.token_hex(4)}")
    with suppress(FileNotFoundError):
        path.rename(aside)
        if not _is_stale(aside):
            with suppress(FileExistsError):
                os.link(aside, path)
        aside.unlink()


def _knows_flock(path: Path) -> bool:
    """Whether the file system does; any other fault is none of it."""
    with _tried(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


def _now_there(path: Path) -> float:
    """The time by the clock of the file system, which may be another machine's."""
    with _tried(path) as file:
        return os.fstat(file).st_mtime


@contextmanager
def _tried(path: Path) -> Iterator[int]:
    """A file beside the lock, for a moment."""
    beside = path.with_name(f"{path.name}{TEMPORARY_MARK}{secrets.token_hex(4)}")
    file = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        yield file
    finally:
        beside.unlink(missing_ok=True)
        os.close(file)


def _refusal(path: Path, *, by_file: bool = False) -> UsageFault:
    holder = Holder.read(path)
    who = f" ({holder.described()})" if holder else ""
    hint = ""
    if by_file and not (holder and holder.is_gone() is False):
        hint = f"; if that one is gone, remove {path}, or come back in {STALE_SECONDS / 60:.0f} minutes"
    return UsageFault(
        f"another process is at work in {path.parent}{who}; wait for its end, or give another folder{hint}"
    )
