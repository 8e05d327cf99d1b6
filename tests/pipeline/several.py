"""Processes as torchrun starts them, for tests: forked, because importing torch takes seconds."""

import os
import signal
import socket
import sys
import time

import torch
import torch._dynamo  # what an optimizer imports at its first step; before the fork, once for all

import recycle_pipeline.exporters.ticket.writer
import recycle_pipeline.pipeline.search.loop  # noqa: F401 - the same
from recycle_pipeline.pipeline.processes import ranks_here
from recycle_pipeline.pipeline.search.distributed import form_world
from recycle_pipeline.pipeline.together import Together

SECONDS = 60  # a process that takes longer hangs


def fork(work, size=2):
    """Calls `work(rank)` in processes of their own and returns their exit codes."""
    torch.set_num_threads(1)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    pids = [_child(work, rank, size, port) for rank in range(size)]
    codes = {}
    end = time.monotonic() + SECONDS
    while len(codes) < size:
        for rank, pid in enumerate(pids):
            if rank not in codes and (found := os.waitpid(pid, os.WNOHANG))[0]:
                codes[rank] = os.waitstatus_to_exitcode(found[1])
        if time.monotonic() > end:
            [os.kill(pid, signal.SIGKILL) for rank, pid in enumerate(pids) if rank not in codes]
        time.sleep(0.02)
    return [codes[rank] for rank in range(size)]


def _child(work, rank, size, port):
    if pid := os.fork():
        return pid
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    code = 1
    try:
        work(rank)
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    os._exit(code)


def in_world(work, size=2):
    """Calls `work(world)` in connected processes."""

    def connected(rank):
        with Together(ranks_here()) as together:
            work(form_world(together, torch.device("cpu"), own=False))

    return fork(connected, size)
