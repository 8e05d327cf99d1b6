"""A disk that takes its time: a file system in a file, whose device the kernel lets write slowly."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup/blkio")  # version 1 of control groups
LIMIT = "blkio.throttle.write_bps_device"
SIZE = 256 << 20
TOOLS = ("mkfs.ext4", "losetup", "mount", "umount")


def why_not() -> str | None:
    """Why there can be none here; None where there can."""
    if os.geteuid():
        return "mounting is for root alone"
    if not (GROUPS / LIMIT).exists():
        return f"no {GROUPS / LIMIT} here"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"no {', '.join(missing)} here" if missing else None


@contextmanager
def slow_disk(work: Path, bytes_per_second: int) -> Iterator[Path]:
    """Mounts one; this process and all that it forks write to it so slowly.

    Writes go to memory at first, as on any disk; what waits is fsync, in a call that no signal ends.

    Args:
        work: a folder for the file and the mount.
        bytes_per_second: written at most.

    Raises:
        SystemExit: there can be none here; "no slow disk" and why.
    """
    if why := why_not():
        raise SystemExit(f"no slow disk: {why}")
    image, where, group = work / "disk", work / "slow", GROUPS / f"slow-disk-{os.getpid()}"
    with image.open("wb") as file:
        file.truncate(SIZE)
    where.mkdir()
    _do("mkfs.ext4", "-q", "-F", str(image))
    device = _do("losetup", "--find", "--show", str(image))
    try:
        _do("mount", device, str(where))
        _slow_down(device, group, bytes_per_second)
        yield where
    finally:
        (GROUPS / "cgroup.procs").write_text(str(os.getpid()))
        if group.is_dir():
            group.rmdir()
        if os.path.ismount(where):
            _do("umount", str(where))
        _do("losetup", "--detach", device)


def _slow_down(device: str, group: Path, bytes_per_second: int) -> None:
    number = os.stat(device).st_rdev
    try:
        group.mkdir()
        (group / LIMIT).write_text(f"{os.major(number)}:{os.minor(number)} {bytes_per_second}")
        (group / "cgroup.procs").write_text(str(os.getpid()))
    except OSError as error:
        raise SystemExit(f"no slow disk: {error}") from error


def _do(*line: str) -> str:
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"no slow disk: {' '.join(line)}: {done.stderr.strip()}")
    return done.stdout.strip()
