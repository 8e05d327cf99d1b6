"""How threads of torch's operations wait for each other on a CPU: awake where cores are free, else asleep.

libgomp has a thread that is done with its part of an operation look on and on, for milliseconds, whether
the others are. On free cores that is the fastest way. Where a core is taken by another program, the thread
that still has work then waits for one that only looks: small networks, whose operations take microseconds,
become several times slower (docs/results.md, cores that are shared). Asleep, a thread costs a wake-up for
each operation.
"""

import os
import statistics
import time
from collections.abc import MutableMapping
from pathlib import Path

SAY_HOW = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
ASLEEP = {"OMP_WAIT_POLICY": "PASSIVE"}
LOADS = Path("/proc/loadavg")  # "0.20 0.18 0.12 1/80 11206": the fourth says how many threads run or could
QUOTA = Path("/sys/fs/cgroup/cpu.max")  # "max 100000", or microseconds of so many that a container may run
GLANCES, BETWEEN = 5, 0.002  # seconds


def wait_suitably(
    environment: MutableMapping[str, str] = os.environ, loads: Path = LOADS, quota: Path = QUOTA
) -> None:
    """Has OpenMP's threads sleep while they wait, here and in processes that this one starts.

    Not where the cores are free as this is called, nor where a user says how to wait, which holds. To be
    called before torch is imported, which reads it then.
    """
    if not any(name in environment for name in SAY_HOW) and not _cores_are_free(loads, quota):
        environment.update(ASLEEP)


def _cores_are_free(loads: Path, quota: Path) -> bool:
    """Whether other programs leave this one all cores that it may use; False where that is not known.

    Nor are they where a quota holds, which threads that look on use up.
    """
    try:
        if quota.exists() and not quota.read_text().startswith("max"):
            return False
        seen = []
        for _ in range(GLANCES):
            seen.append(int(loads.read_text().split()[3].partition("/")[0]))
            time.sleep(BETWEEN)
        mine = len(os.sched_getaffinity(0))
    except (OSError, ValueError, IndexError, AttributeError):  # another system, or a container without it
        return False
    others = statistics.median_low(seen) - 1  # this thread runs as it looks
    return others + mine <= (os.cpu_count() or 1)
