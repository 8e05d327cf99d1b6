"""A lock that is waited for, between processes that would do the same work twice."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def waiting_for(path: Path, on_wait: Callable[[], None]) -> Iterator[bool]:
    """Holds a lock file, which stays; the system lets go of it when the process ends, however it ends.

    Where the file system knows no flock it is gone on without: so the work must be such that two may do it,
    and what lies half made beside it may be another process's.

    Args:
        path: of the file; its folder is there.
        on_wait: called where another process holds it, before waiting.

    Yields:
        Whether it is held.

    Raises:
        OSError: it cannot be opened.
    """
    with path.open("ab") as lock:
        held = True
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:  # which one differs: ENOLCK, ENOSYS, EOPNOTSUPP
            held = False
        yield held
