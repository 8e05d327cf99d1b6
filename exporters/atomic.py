"""Writing files so that a reader sees the old content or the new, never a part."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TEMPORARY_MARK = ".partial-"  # in the name of every file that is still being written


@contextmanager
def replacing(path: Path, *, parents: bool = True) -> Iterator[Path]:
    """Yields a temporary path beside `path` to write to; renames it to `path` if the block succeeds.

    The content is flushed to the disk before the rename, and the folder's entry after it: what a later
    file says of this one is true after a power failure too. If the block raises, the temporary is
    removed and `path` stays as it was. If the process is killed, what stays behind has
    `TEMPORARY_MARK` in its name.

    Args:
        path: of the file.
        parents: whether to make its folder; if not, one that is not there is an error.

    Raises:
        OSError: the folder cannot be written, the disk is full.
    """
    if parents:
        path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}{TEMPORARY_MARK}{secrets.token_hex(4)}")
    try:
        yield temporary
        sync_and_rename(temporary, path)
    except OSError as error:
        if error.errno and error.filename is None:  # a full disk is told of by a write, which knows no name
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def sync_and_rename(written: Path, path: Path) -> None:
    """Gives a whole file its name, in place of what bears it; both are on the disk afterwards.

    Raises:
        OSError: the disk is full, or failed to keep what was written.
    """
    with written.open("rb+") as file:
        os.fsync(file.fileno())
    written.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # some file systems cannot, and keep entries by themselves
            os.fsync(folder)
    finally:
        os.close(folder)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a whole file atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Writes a whole UTF-8 text file atomically."""
    write_bytes(path, content.encode())
