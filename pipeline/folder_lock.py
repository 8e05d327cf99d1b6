"""One process at a time in a run folder: two would write over one another's files."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recycle_pipeline.models.errors import UsageFault


@contextmanager
def alone_in(root: Path) -> Iterator[None]:
    """Holds the folder, which is made if it is not there; the system lets go of it when the process ends.

    The lock is on the folder itself, so nothing is left behind. A file system that knows no locks on
    folders, such as some network ones, is worked on without.

    Raises:
        UsageFault: another process holds it.
    """
    root.mkdir(parents=True, exist_ok=True)
    held = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(held)
        raise UsageFault(
            f"another process is at work in {root}; wait for its end, or give another folder"
        ) from error
    except OSError:
        pass
    try:
        yield
    finally:
        os.close(held)
