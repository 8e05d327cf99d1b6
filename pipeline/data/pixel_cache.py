"""Decoded images in files of the cache folder, made once and found again by the images they are of.

KEY.pixels holds the raw pixels; KEY.json, written after it, says of what shape they are and what has been
computed from them. KEY is a digest of names, sizes, and times of modification and change. A file may be
deleted at any time.
"""

import fcntl
import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from recycle_pipeline.exporters.atomic import TEMPORARY_MARK, replacing, write_text
from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.data.cache_folder import CACHE_VARIABLE, cache_folder
from recycle_pipeline.pipeline.data.decode_pool import Job, decode_into
from recycle_pipeline.pipeline.data.file_lock import waiting_for
from recycle_pipeline.pipeline.data.statistics import statistics_of
from recycle_pipeline.pipeline.data.stored_images import StoredImages

LAYOUT = 1  # raise it when the same files would give other pixels
PROGRESS_SECONDS = 5.0
Say = Callable[[str], None]


@dataclass(frozen=True)
class Cached:
    """One entry of the cache: where its description lies, and what that says.

    Attributes:
        about: The description's path.
        of: The folder that the images were in; for people who look into the cache.
        shape: (N, C, S, S).
        mean, std: Of the train images, per channel.
        digest: Of the image set, once it is known.
    """

    about: Path
    of: str
    shape: tuple[int, int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    digest: str | None = None

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape)

    def images(self) -> StoredImages:
        """Opens the pixels."""
        return StoredImages(_pixels(self.about), self.shape)

    def write(self) -> None:
        """Writes the description.

        Raises:
            OSError: It cannot be written.
        """
        facts = {name: value for name, value in vars(self).items() if name != "about"}
        write_text(self.about, json.dumps(facts) + "\n")

    def keep_digest(self, digest: str) -> None:
        """Writes down what takes minutes to compute; where that fails, it is computed again."""
        _sweep(self.about.parent)  # a process that was killed here comes here again, and not to `make`
        with suppress(OSError):
            replace(self, digest=digest).write()


def entry_path(paths: Sequence[str], train: int, image_size: int | None) -> Path:
    """Where the description of these images' pixels lies, or will lie.

    Args:
        paths: Of the images, absolute, train before test.
        train: How many are train images.
        image_size: As asked for.
    """
    hasher = hashlib.sha256(f"{LAYOUT} {train} {image_size}\n".encode())
    for path in paths:
        try:
            found = os.stat(path)
            # The time of change, which nobody can set: other contents may have the size and time of these.
            when = f"{found.st_mtime_ns} {found.st_ctime_ns}"
            hasher.update(f"{path!r} {found.st_size} {when}\n".encode())
        except OSError:
            hasher.update(f"{path!r} ?\n".encode())  # whoever opens it will say what is wrong
    return cache_folder() / "images" / f"{hasher.hexdigest()[:32]}.json"


def find(about: Path) -> Cached | None:
    """The entry, if it is there and whole."""
    try:
        facts: dict[str, Any] = json.loads(about.read_text("utf-8"))
        number, channels, side, _ = facts["shape"]
        statistics = tuple(facts["mean"]), tuple(facts["std"])
        entry = Cached(about, facts["of"], (number, channels, side, side), *statistics, facts["digest"])
        return entry if _pixels(about).stat().st_size == entry.nbytes else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def make(about: Path, job: Job, root: Path, say: Say) -> Cached:
    """Decodes images into an entry, unless another process does so at the same time; then it waits for that.

    Args:
        about: Where `entry_path` says.
        job: The images.
        root: Of the images, for messages.
        say: Told what is done, how large it gets and how far it is.

    Raises:
        UsageFault: Images cannot be read, or the cache folder lacks the room or cannot be written.
        RecycleError: A process that decodes died.
    """
    wanted = math.prod(job.shape)
    try:
        about.parent.mkdir(parents=True, exist_ok=True)
        _sweep(about.parent)
        waits = "waits for another process that decodes the same images"
        with waiting_for(about.with_suffix(".lock"), lambda: say(waits)):
            if found := find(about):
                return found
            free = _room(about, wanted, root)
            number, _, side, _ = job.shape
            say(
                f"decodes {number:,} images to {side}x{side} pixels, once: {_gigabytes(wanted)} in "
                f"{about.parent} ({_gigabytes(free)} free)"
            )
            with replacing(_pixels(about)) as file:
                with file.open("xb") as made:
                    os.posix_fallocate(made.fileno(), 0, wanted)  # lacks room now, not after an hour
                counts = decode_into(file, job, _progress(number, say))
            entry = Cached(about, str(root), job.shape, *statistics_of(counts))
            entry.write()
            return entry
    except OSError as error:
        raise UsageFault(
            f"decoded images cannot be written to {about.parent}: {error.strerror or error}; expected a "
            f"folder with room for {_gigabytes(wanted)}; name one in {CACHE_VARIABLE}"
        ) from error


def _pixels(about: Path) -> Path:
    return about.with_suffix(".pixels")


def _sweep(folder: Path) -> None:
    """Removes what killed processes left: files under way whose lock nobody holds.

    One of a description may be of a process that is about to keep a digest: that one computes it again.
    """
    for left in folder.glob(f".*{TEMPORARY_MARK}*"):
        key = left.name.split(".")[1]
        with suppress(OSError), (folder / f"{key}.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink(missing_ok=True)


def _room(about: Path, wanted: int, root: Path) -> int:
    """The room there is, in bytes.

    Raises:
        UsageFault: It is too little.
    """
    free = shutil.disk_usage(about.parent).free
    if free < wanted:
        raise UsageFault(
            f"the images in {root} take {_gigabytes(wanted)} when decoded, and are kept in {about.parent}, "
            f"where {_gigabytes(free)} are free; free some, name a folder with more room in "
            f"{CACHE_VARIABLE}, or pass a smaller --image-size"
        )
    return free


def _progress(number: int, say: Say) -> Callable[[int], None]:
    started = last = time.monotonic()

    def on_done(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < PROGRESS_SECONDS and done < number:
            return
        last, rate = now, done / max(1e-9, now - started)
        left = (number - done) / rate
        say(f"{done:,} of {number:,} images decoded, {rate:,.0f} a second, {left:.0f} s left")

    return on_done


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
