"""How the threads of torch's operations wait for each other on a CPU: asleep.

libgomp has a thread that is done with its part of an operation look on and on, for milliseconds, whether
the others are. Where a core is taken by another program, the thread that still has work then waits for one
that only looks: small networks, whose operations take microseconds, become ten times slower and more
(docs/results.md, cores that are shared). Asleep, a thread costs a wake-up for each operation. A thousand
looks before it sleeps, some ten microseconds, save most of these and take little from others.
"""

import os
from collections.abc import MutableMapping

LOOKS = "1000"  # of libgomp, which takes it before the policy; other libraries read the policy
SAY_HOW = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def wait_asleep(environment: MutableMapping[str, str] = os.environ) -> None:
    """Has OpenMP's threads soon sleep while they wait, here and in processes that this one starts.

    To be called before torch is imported, which reads it then. Where a user says how to wait, that holds.
    """
    if not any(name in environment for name in SAY_HOW):
        environment.update({"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": LOOKS})
