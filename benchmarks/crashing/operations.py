"""What a process does to files: counted, and at the n-th operation something happens.

Seen are, before they take place, opening for writing, renaming, removing, making and removing folders, by
Python's audit events (PEP 578), and syncing to the disk, which has none and is wrapped. Bytes that are
written are no events; `torn` has the system kill a process within one.
"""

import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATHS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def watch(root: Path, at: int, act: Callable[[], None], log: list[str] | None = None) -> None:
    """From now on `act` is called before the `at`-th operation below a folder; for the life of the process.

    Args:
        root: of the files that count; also the current folder.
        at: from 1; 0 for never.
        act: what to do then.
        log: gets a line for each operation.
    """
    count = 0
    below = str(root)

    def seen(what: str) -> None:
        nonlocal count
        count += 1
        if log is not None:
            log.append(what)
        if count == at:
            act()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if not flags & WRITING:
                return
        elif event in PATHS:
            path = arguments[0]
        else:
            return
        if isinstance(path, str | os.PathLike) and os.path.abspath(path).startswith(below):
            seen(f"{event} {os.path.relpath(path, below)}")

    sync = os.fsync

    def counted(number: Any) -> None:
        seen("fsync")
        sync(number)

    os.fsync = counted
    sys.addaudithook(hook)


def die() -> None:
    """Ends this process as the system's SIGKILL does."""
    os.kill(os.getpid(), signal.SIGKILL)


def torn(size: int) -> Callable[[], None]:
    """Has the next file that grows beyond `size` bytes end there, and the process with it."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it: a write would fail instead
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    return limit
