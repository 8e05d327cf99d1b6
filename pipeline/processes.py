"""Which of the processes that torchrun started this one is, whether it speaks, how it leaves and ends."""

import atexit
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from recycle_pipeline.models.errors import UsageFault

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
CLOSING = "closing"  # the thread that closes a connection
HOW = "torchrun --nproc-per-node {} -m recycle_pipeline.pipeline ..."


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this one is.

    Attributes:
        rank, size: over all machines.
        local_rank, local_size: on this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1


def ranks_here(environment: Mapping[str, str] = os.environ) -> Ranks:
    """What torchrun says in the environment; a process alone where it says nothing.

    Raises:
        UsageFault: it says something else than numbers that fit together.
    """
    if any(name not in environment for name in NAMES):
        return Ranks()
    try:
        rank, size, local_rank = (int(environment[name]) for name in NAMES)
        local_size = int(environment.get("LOCAL_WORLD_SIZE", size))
    except ValueError:
        rank = size = local_rank = local_size = -1
    if not (0 <= rank < size and 0 <= local_rank < local_size <= size):
        given = ", ".join(f"{name}={environment[name]!r}" for name in NAMES)
        raise UsageFault(f"{given} in the environment: expected what torchrun sets; or unset them")
    return Ranks(rank, size, local_rank, local_size)


def several(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether torchrun started others with this process."""
    return all(name in environment for name in NAMES) and environment["WORLD_SIZE"] != "1"


def speaks(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process tells of errors: of several, one on each machine."""
    return not several(environment) or environment["LOCAL_RANK"] == "0"


def leave(code: int) -> NoReturn:
    """Exits. Of several processes, one that failed does so at once, or whose connection does not close.

    Python would first end libraries in order, and NCCL's end waits for the processes that are lost.
    """
    closing = any(thread.name == CLOSING for thread in threading.enumerate())
    if several() and (code or closing):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def end(code: int) -> None:
    """Where CUDA was used, ends the process in the order that Python does, but for libraries' own endings.

    CUDA's may take a second or two, for what the system takes back as a process ends. Returns
    where it was not used, or where what is left to print cannot be.
    """
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is None or not cuda.is_initialized():
        return
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as multiprocessing's children do
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
    # What was done is done; Python's own end tells what there is to tell.
    except (KeyboardInterrupt, OSError):
        return
    os._exit(code)


def check_processes(asked: int | None, ranks: Ranks) -> int | None:
    """The setting `processes`: as many as there are; None where there is one.

    Raises:
        UsageFault: another number was asked for.
    """
    if asked is not None and asked != ranks.size:
        there = "one process" if ranks.size == 1 else f"{ranks.size} processes"
        start = "without torchrun" if asked == 1 else f"with {HOW.format(asked)}"
        raise UsageFault(f"--processes {asked}, but this is a run of {there}: start it {start}")
    return None if ranks.size == 1 else ranks.size
