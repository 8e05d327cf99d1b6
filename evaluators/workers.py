"""Starting processes that time models, and telling them what to do."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from recycle_pipeline.evaluators.setting import Setting
from recycle_pipeline.models import errors
from recycle_pipeline.models.errors import CrashingModel, RecycleError, UsageFault

MODULE = "recycle_pipeline.evaluators.timing_worker"
CRASHES = ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL")


@dataclass(frozen=True)
class Opened:
    """What opening a model cost: seconds of session creation, bytes by which peak memory grew with a call."""

    seconds: float
    memory: int


@dataclass(frozen=True)
class WarmUp:
    """Rounds that were run to warm up, whether times had settled, and what a round took, in s."""

    rounds: int
    settled: bool
    round_s: float


class Worker:
    """A fresh process that opens models and times them. A context: the process ends with it.

    Raises:
        RecycleError: as the process met it, or the process died.
    """

    def __init__(self, core: int | None = None) -> None:
        """Starts it.

        Args:
            core: the one core that it may use; None leaves that to the system.

        Raises:
            UsageFault: a core that this process may not use, or a system that binds none.
        """
        _require_core(core)
        # -P: a numpy.py in the folder one happens to be in is not ours to import.
        command = [sys.executable, "-P", "-m", MODULE]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            process_group=0,  # Ctrl-C is for us, who end it; or the end of stdin does
        )
        if core is not None:
            os.sched_setaffinity(self._process.pid, {core})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin and self._process.stdout
        if error is not None:
            self._process.kill()
        with contextlib.suppress(BrokenPipeError):  # it has died, and said so
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def open(self, path: Path, setting: Setting, entries: Mapping[str, str] | None = None) -> Opened:
        """Opens a model; the next of this worker's numbers, from 0 on, is its.

        Args:
            path: of the model.
            setting: provider, threads, batch.
            entries: more of ONNX Runtime's configuration of the session.
        """
        entries = dict(entries or {})
        answer = self._ask({"do": "open", "path": str(path), "entries": entries, **asdict(setting)})
        return Opened(answer["seconds"], answer["growth"])

    def warm_up(self, seconds: float) -> WarmUp:
        """Runs all models in turns until their times settle, for `seconds` at the most."""
        answer = self._ask({"do": "warm_up", "seconds": seconds})
        return WarmUp(answer["rounds"], answer["settled"], answer["round_ns"] / 1e9)

    def run(self, order: Sequence[int]) -> list[int]:
        """Runs models by number, in this order; ns of each."""
        times: list[int] = self._ask({"do": "run", "order": list(map(int, order))})["ns"]
        return times

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        try:
            print(json.dumps(request), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise _death(self._process.wait(), request)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise getattr(errors, answer["error"])(answer["message"])
        return answer


def require_no_crash(paths: Sequence[Path], provider: str) -> None:
    """Opens models, and calls each once, in a process of its own: one that ends a process ends that one.

    Files from strangers can: `benchmarks/reader_fuzz.py model` found such, of one kind.

    Args:
        paths: the models.
        provider: under which.

    Raises:
        CrashingModel: ONNX Runtime crashed on one.
        RecycleError: as the process met it.
    """
    with Worker() as worker:
        for path in paths:
            worker.open(path, Setting(provider))


def crashing(
    paths: Sequence[Path], provider: str, told: Mapping[Path, Mapping[str, str]] | None = None
) -> dict[Path, CrashingModel]:
    """Those of some models on which ONNX Runtime crashes, with the error that says so.

    Models that cannot be opened or called for another reason are none of them; the caller judges them.

    Args:
        paths: the models.
        provider: under which.
        told: what sessions of some are told besides, by path; they are opened both ways.
    """
    told = told or {}
    found, left = dict[Path, CrashingModel](), list(paths)
    while left:
        with Worker() as worker:  # another one after each crash
            while left:
                path = left.pop(0)
                try:
                    worker.open(path, Setting(provider))
                    if path in told:
                        worker.open(path, Setting(provider), told[path])
                except CrashingModel as error:
                    found[path] = error
                    break
                except RecycleError:
                    continue
    return found


def _death(code: int, request: Mapping[str, Any]) -> RecycleError:
    """Why a worker ended while it was asked for this."""
    name = signal.Signals(-code).name if code < 0 else ""
    if name in CRASHES and request["do"] == "open":
        return CrashingModel(
            f"{request['path']}: ONNX Runtime crashed on it ({name}), which a sound "
            "model does not make it do. Export it again; if it comes from somebody else, do not trust it."
        )
    return RecycleError(
        f"the process that times {request.get('path', 'models')} ended with code {code}; its last "
        "words are above. If memory ran out (code -9), use a smaller batch."
    )


def _require_core(core: int | None) -> None:
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if core is not None and core not in usable:
        raise UsageFault(
            f"core {core} was asked for; this process may use {usable or 'any, and this system binds none'}."
        )
