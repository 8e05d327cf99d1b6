"""How the threads of torch's operations wait for each other on a CPU: asleep.

libgomp has a thread that is done with its part of an operation look on and on, for milliseconds, whether
the others are. Where a core is taken by another program, the thread that still has work then waits for one
that only looks: small networks, whose operations take microseconds, become ten times slower and more
(benchmarks/README.md, waiting threads). Asleep, a thread costs a wake-up for each operation.
"""

import os
from collections.abc import MutableMapping

SAY_HOW = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def wait_asleep(environment: MutableMapping[str, str] = os.environ) -> None:
    """Has OpenMP's threads sleep while they wait, here and in processes that this one starts.

    To be called before torch is imported, which reads it then. Where a user says how to wait, that holds.
    """
    if not any(name in environment for name in SAY_HOW):
        environment["OMP_WAIT_POLICY"] = "PASSIVE"
