"""A process that opens models and times calls when told to; `workers` starts it and speaks with it.

Requests and answers are lines of JSON, over stdin and what was stdout when it started. It is a process of its
own because where a session's memory lies decides part of its speed, and a fresh process draws that anew.
"""

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from recycle_pipeline.evaluators import memory
from recycle_pipeline.evaluators.latency import SETTLED, WINDOW
from recycle_pipeline.evaluators.providers import why_not
from recycle_pipeline.evaluators.session import open_session
from recycle_pipeline.evaluators.timed_call import call_of, random_images
from recycle_pipeline.models.errors import RecycleError

Call = Callable[[], object]


def main() -> None:
    """Answers requests until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is no answer
    calls: list[Call] = []
    gc.disable()  # as `timeit` does
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = REQUESTS[request["do"]](calls, request)
        except RecycleError as error:
            answer = {"error": type(error).__name__, "message": str(error)}
        print(json.dumps(answer), file=answers, flush=True)


def _open(calls: list[Call], request: dict[str, Any]) -> dict[str, Any]:
    """Opens a model; `seconds` for the session alone, `growth` of this process's peak memory in bytes."""
    why_not(request["provider"])  # computes once: what the first session of a process costs is no model's
    before, started = memory.peak_bytes(), time.perf_counter()
    model = open_session(request["path"], request["provider"], request["threads"], request["entries"])
    seconds = time.perf_counter() - started
    call = call_of(model, random_images(model, request["batch"]), request["transfers"])
    call()
    calls.append(call)
    return {"seconds": seconds, "growth": memory.peak_bytes() - before}


def _run(calls: list[Call], request: dict[str, Any]) -> dict[str, Any]:
    """Runs calls in the order given; nanoseconds of each."""
    return {"ns": [_timed(calls[which]) for which in request["order"]]}


def _warm_up(calls: list[Call], request: dict[str, Any]) -> dict[str, Any]:
    """Runs all calls in rounds until two windows' medians agree for each, or the time is over."""
    end, rounds = time.perf_counter() + request["seconds"], 0
    before, settled = None, False
    while not settled:
        window = []
        for _ in range(WINDOW):
            window.append([_timed(call) for call in calls])
            rounds += 1
            if time.perf_counter() > end:
                break
        now = np.median(window, axis=0)  # (calls,)
        settled = before is not None and bool((abs(now - before) <= SETTLED * before).all())
        before = now
        if time.perf_counter() > end:
            break
    assert before is not None
    return {"rounds": rounds, "settled": settled, "round_ns": float(before.sum())}


def _timed(call: Call) -> int:
    start = time.perf_counter_ns()
    call()
    return max(time.perf_counter_ns() - start, 1)


REQUESTS = {"open": _open, "run": _run, "warm_up": _warm_up}

if __name__ == "__main__":
    main()
