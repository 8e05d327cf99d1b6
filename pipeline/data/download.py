"""Fetches a torchvision data set: once, by one of several processes, and never half.

torchvision writes under the files' final names, and of MNIST's kin looks at those alone: a download that was
killed would count as done. So it works in a folder beside them, from which whole files are renamed.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from recycle_pipeline.exporters.atomic import TEMPORARY_MARK, sync_and_rename
from recycle_pipeline.pipeline.data.file_lock import waiting_for


def fetched(
    read: Callable[[str, bool], Any],
    root: Path,
    name: str,
    folder: str,
    files: Iterable[str],
    say: Callable[[str], None],
) -> Any:
    """What `read` gives once the files are there; they are downloaded if it fails.

    Args:
        read: torchvision's reading from a data root; the flag says whether it may download.
        root: the data root.
        name: of the data set.
        folder: torchvision's, within a data root.
        files: in it.
        say: told that another process is waited for.

    Raises:
        Exception: as torchvision raises it.
    """
    root.mkdir(parents=True, exist_ok=True)
    waits = f"waits for another process that downloads {name}"
    with waiting_for(root / f".{name}.lock", lambda: say(waits)) as alone:
        try:
            return read(str(root), False)  # another process may just have downloaded it
        except Exception:
            mark = f".{name}{TEMPORARY_MARK}"
            if alone:
                _sweep(root, mark)
            _download(read, root, mark, folder, files)
    return read(str(root), False)


def _sweep(root: Path, mark: str) -> None:
    """Removes what killed processes left; without the lock it could be of one that is at work."""
    for left in root.glob(f"{mark}*"):
        shutil.rmtree(left, ignore_errors=True)


def _download(
    read: Callable[[str, bool], Any], root: Path, mark: str, folder: str, files: Iterable[str]
) -> None:
    with tempfile.TemporaryDirectory(prefix=mark, dir=root) as scratch:
        beside = Path(scratch)
        _bring_archives(root, folder, beside)
        read(scratch, True)
        (root / folder).mkdir(parents=True, exist_ok=True)
        for file in files:
            sync_and_rename(beside / folder / file, root / folder / file)


def _bring_archives(root: Path, folder: str, beside: Path) -> None:
    """Archives that are there already need no network; torchvision compares their MD5 sums."""
    for path in (*root.glob("*.tar.gz"), *(root / folder).glob("*.gz")):
        target = beside / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, target)
        except OSError:
            shutil.copyfile(path, target)
