"""How threads of torch's operations wait for each other on a CPU: awake where cores are free, else asleep.

libgomp has a thread that is done with its part of an operation look on and on, for milliseconds, whether
the others are. On free cores that is the fastest way. Where a core is taken by another program, the thread
that still has work then waits for one that only looks: small networks, whose operations take microseconds,
may become several times slower (docs/results.md, cores that are shared). Asleep, a thread costs a wake-up for
each operation.
"""

import os
import time
from collections.abc import MutableMapping, Sequence
from pathlib import Path

SAY_HOW = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
ASLEEP = {"OMP_WAIT_POLICY": "PASSIVE"}
LOADS = Path("/proc/loadavg")  # "0.20 0.18 0.12 1/80 11206": the fourth says how many threads run or could
# "max 100000", or how many of so many microseconds a container may run; the older kind has -1 for no quota.
QUOTAS = Path("/sys/fs/cgroup/cpu.max"), Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
GLANCES, BETWEEN = 5, 0.002  # seconds


def wait_suitably(
    environment: MutableMapping[str, str] = os.environ,
    loads: Path = LOADS,
    quotas: Sequence[Path] = QUOTAS,
) -> None:
    """Has OpenMP's threads sleep while they wait, here and in processes that this one starts.

    Not where the cores are free as this is called, nor where a user says how to wait, which holds. What other
    programs do later changes nothing. To be called before torch is imported, which reads it then.
    """
    if not any(name in environment for name in SAY_HOW) and not _cores_are_free(loads, quotas):
        environment.update(ASLEEP)


def _cores_are_free(loads: Path, quotas: Sequence[Path]) -> bool:
    """Whether no other thread of the machine is at work; False where that is not known.

    Nor are they free where the container has a quota, which threads that look on use up.
    """
    try:
        if any(path.exists() and not path.read_text().startswith(("max", "-1")) for path in quotas):
            return False
        seen = []
        for _ in range(GLANCES):
            seen.append(int(loads.read_text().split()[3].partition("/")[0]))
            time.sleep(BETWEEN)
    except (OSError, ValueError, IndexError):  # another system, or a container without it
        return False
    return sorted(seen)[GLANCES // 2] == 1  # the thread that looks
