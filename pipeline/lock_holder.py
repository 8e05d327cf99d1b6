"""Who holds a run folder, so that another process can say so, and tell whether that one is still there."""

import json
import os
import socket
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

PROC = Path("/proc")
MOST_BYTES = 4096  # of a lock file; what is written takes 200


@dataclass(frozen=True)
class Holder:
    """A process at work.

    Attributes:
        pid: within its machine.
        host: its name, for people.
        machine: where pids mean the same: a boot of a system and, in containers, a namespace; "" if unknown.
        started: of the process, in clock ticks since that boot; 0 if unknown. A pid may be used again.
        since: when it took the folder, ISO 8601, UTC.
    """

    pid: int
    host: str
    machine: str
    started: int
    since: str

    @classmethod
    def here(cls) -> Self:
        """This process."""
        pid = os.getpid()
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        return cls(pid, socket.gethostname(), _machine(), _started(pid), since)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The one that a lock file names; None where it names none, or is not there any more."""
        try:
            holder = cls(**json.loads(_start_of(path)))
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        kinds = (int, str, str, int, str)
        return holder if tuple(map(type, asdict(holder).values())) == kinds else None

    def write(self, file: int) -> None:
        """Into an open file, in place of what it holds."""
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(asdict(self)).encode(), 0)

    def described(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"

    def is_gone(self) -> bool | None:
        """Whether it has ended; None where that cannot be seen from here."""
        if not self.machine or self.machine != _machine():
            return None
        return _started(self.pid) != self.started


def _start_of(path: Path) -> bytes:
    """What a stranger may have put there is not waited for, as a named pipe's would be, nor read whole."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(file, MOST_BYTES)
    finally:
        os.close(file)


def _machine() -> str:
    with suppress(OSError):
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink(PROC / 'self/ns/pid')}"
    return ""


def _started(pid: int) -> int:
    """When a process started, in ticks since the boot; 0 if there is none (proc(5), stat, field 22)."""
    try:
        fields = (PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])  # a zombie has ended
