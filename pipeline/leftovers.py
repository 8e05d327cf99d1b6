"""What killed commands leave in a run folder: files that were being written, and temporary ones."""

import getpass
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recycle_pipeline.exporters.atomic import TEMPORARY_MARK
from recycle_pipeline.pipeline.folder_lock import NAME as LOCK
from recycle_pipeline.pipeline.run_folder import RunFolder

STAGES = ("search", "pack", "export", "verify")
SCRATCH = ".scratch"
_in_use: list[str] = []  # folders for temporary files, the newest last


def holds_nothing(root: Path) -> bool:
    """Whether a folder is not there, or empty but for what a killed command left."""
    return not root.is_dir() or all(TEMPORARY_MARK in p.name or p.name == LOCK for p in root.iterdir())


def clear_unfinished(folder: RunFolder) -> None:
    """Removes what killed commands left; nobody else may write here meanwhile."""
    made = (path for stage in STAGES for path in folder.made_by(stage))
    scratch, lock = folder.root / SCRATCH, folder.root / LOCK
    ours = (folder.config, folder.manifest, folder.card, folder.report, scratch, lock, *made)
    for path in ours:
        hidden = path.name if path.name.startswith(".") else f".{path.name}"
        for left in path.parent.glob(f"{hidden}{TEMPORARY_MARK}*"):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


@contextmanager
def temporary_files_in(folder: RunFolder) -> Iterator[None]:
    """Removes what killed commands left, and has `tempfile` put its files, libraries' too, into the folder.

    There is the room that results need, where /tmp may be small or in memory; and what a killed command
    leaves is found by the next one. The folder is locked.
    """
    clear_unfinished(folder)
    _keep_compiled_outside()
    with scratch_in(folder) as path:
        scratch, outside = str(path), tempfile.tempdir if not _in_use else None
        _in_use.append(scratch)
        tempfile.tempdir = scratch
        try:
            yield
        finally:
            _in_use.remove(scratch)
            if tempfile.tempdir == scratch:
                tempfile.tempdir = _in_use[-1] if _in_use else outside


def _keep_compiled_outside() -> None:
    """Names the folder of torch's compiled code as torch would by itself, but before `tempfile` is ours.

    torch asks `tempfile` once and remembers the answer in the environment: it would make that folder again
    in a run that has ended, and compile in every run what it had compiled in the last.
    """
    try:
        user = getpass.getuser()
    except (KeyError, ImportError, OSError):  # no name for this number
        user = f"uid_{os.getuid()}"
    # Not gettempdir(): it tries a folder by a file in it, which a process that is killed then leaves.
    places = (tempfile.tempdir, *map(os.environ.get, ("TMPDIR", "TEMP", "TMP")), "/tmp")
    there = next(place for place in places if place)
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", os.path.join(there, f"torchinductor_{user}"))


@contextmanager
def scratch_in(folder: RunFolder) -> Iterator[Path]:
    """A folder for a while, beside the results; a later command removes it if this one is killed."""
    scratch = tempfile.mkdtemp(prefix=f"{SCRATCH}{TEMPORARY_MARK}", dir=folder.root.absolute())
    try:
        yield Path(scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
