"""Memory that a search on a CPU frees stays with the process, for its next step.

glibc hands blocks above a threshold to the system as soon as they are freed, and asks for them again: in each
step of a search all gradients, page by page, which is a tenth of the step (docs/results.md).
"""

import ctypes
import os
import sys
from collections.abc import Mapping

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
MOST_FREE = 1 << 30  # bytes at the end of the heap, beyond which they are given back
LARGEST = 1 << 25  # bytes of a block that comes from the heap; glibc takes no higher number
SAY_HOW = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES")


def keep_freed_memory(environment: Mapping[str, str] = os.environ) -> bool:
    """Has malloc keep what is freed from now on, in the whole process. Returns whether it does.

    Not where a user says how to allocate, nor where there is no glibc.
    """
    if not sys.platform.startswith("linux") or any(name in environment for name in SAY_HOW):
        return False
    try:
        option = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(option(MMAP_THRESHOLD, LARGEST)) and bool(option(TRIM_THRESHOLD, MOST_FREE))
