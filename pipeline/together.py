"""The processes of one command, connected: what they tell each other, and how all end with one exit code.

The first process (rank 0) writes, reports and runs every stage; the others search with it and then wait for
its end. They talk through torchrun's store. torchrun itself does less than they need:

- It ends the processes of a machine where one has failed, without a word of why and not on other machines
  at once. So one that fails says so (`failed`), and the first says how all end (`over`).
- Its store answers before all processes are there. So each says `here`.
- NCCL's own timeout does not see reductions inside CUDA graphs, and a process whose GPU waits for a lost one
  cannot look itself. So a thread in each looks at the store every second, and each gives signs of life
  (`beat`): a machine that is gone has told nobody.
"""

import json
import os
import re
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any

from recycle_pipeline.models.errors import RecycleError
from recycle_pipeline.pipeline.processes import Ranks

JOIN_SECONDS = 300.0  # for all processes to start: they import torch at the same time
LOST_SECONDS = 120.0  # without a sign of life
GRACE_SECONDS = 5.0  # for a process to find out by itself and end in order
POLL_SECONDS = 0.05
PRINTING_SECONDS = 1.0  # torchrun ends all when the first has failed; its message comes before


class PeerLost(RecycleError):
    """The connection to another process broke. Exit code 1, or that process's own."""

    def __init__(self, what: str) -> None:
        what = re.sub(r"^\[[^]]*\] ", "", what).partition(". ")[0]  # gloo: a place in its source; advice
        super().__init__(f"the connection to another process broke ({what}); it has probably been killed")


class PeerFailed(RecycleError):
    """Another process failed. Exit code: that process's."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Together:
    """The processes of one command, connected while the context lasts.

    Leaving the context, a process tells whether it failed; the first then decides the exit code of all, and
    in the others PeerFailed is raised if that is not 0. Not for a process alone.

    Args:
        ranks: of this process.
    """

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self._leaving = threading.Event()

    def __enter__(self) -> "Together":
        from datetime import timedelta

        from torch.distributed.rendezvous import rendezvous

        limit = timedelta(seconds=JOIN_SECONDS)
        try:
            found = rendezvous("env://", self.ranks.rank, self.ranks.size, timeout=limit)
            self.store, _, _ = next(iter(found))
            self._watching = self.store.clone()
            self.store.set(self._key("here"), "yes")
            missing = self._await("here", range(self.ranks.size), JOIN_SECONDS)
            if missing:
                raise ValueError(f"process {missing[0]} is not there after {JOIN_SECONDS:.0f} s")
        except (RuntimeError, ValueError) as error:
            raise RecycleError(
                f"the {self.ranks.size} processes did not find each other: {error}; were all started, with "
                "the same MASTER_ADDR and MASTER_PORT?"
            ) from error
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if self.ranks.rank == 0 or error is not None:
            self._leaving.set()  # another process waits on, and must still find out if the first is lost
        try:
            verdict = self._lead(error) if self.ranks.rank == 0 else self._follow(error)
        except RuntimeError:  # the store is gone: nobody is left to tell
            verdict = None
        elsewhere = verdict and verdict["code"] and verdict["rank"] != self.ranks.rank
        if verdict and elsewhere and (error is None or isinstance(error, PeerLost)):
            raise PeerFailed(verdict["message"], verdict["code"]) from error

    def _lead(self, error: BaseException | None) -> dict[str, Any] | None:
        """Decides how all end, and lets the others read it."""
        verdict = _verdict(0, error)
        if error is None or isinstance(error, PeerLost):
            seconds = 0.0 if error is None else GRACE_SECONDS / 2
            verdict = self._read("failed", seconds) or verdict
        self.store.set("over", json.dumps(verdict))
        lost = isinstance(error, PeerLost) and verdict["rank"] == 0  # and cannot say that it has left
        self._await("left", range(1, self.ranks.size), GRACE_SECONDS / 2 if lost else 2 * GRACE_SECONDS)
        return verdict

    def _follow(self, error: BaseException | None) -> dict[str, Any] | None:
        """Tells of a failure; waits for the end of the first process, however long if nothing failed."""
        if error is not None and not isinstance(error, PeerLost):
            self.store.compare_set("failed", "", json.dumps(_verdict(self.ranks.rank, error)))
        verdict = self._read("over", None if error is None else 3 * GRACE_SECONDS)
        self._leaving.set()
        self.store.set(self._key("left"), "yes")
        if verdict and verdict["code"]:
            time.sleep(PRINTING_SECONDS)
        return verdict

    def announce(self, word: str) -> None:
        """The first process says what comes next."""
        self.store.set("next", word)

    def next(self) -> str | None:
        """What the first process announces; None if it ends without."""
        while not self.store.check(["next"]):
            if self.store.check(["over"]):
                return None
            time.sleep(POLL_SECONDS)
        return str(self.store.get("next").decode())

    def gathered(self, name: str, value: str) -> list[str]:
        """What every process says under a name, by rank."""
        self.store.set(self._key(name), value)
        keys = [self._key(name, rank) for rank in range(self.ranks.size)]
        while not self.store.check(keys):  # the watching thread ends this process if another is lost
            if self.store.check(["failed"]):
                raise PeerLost("it failed")
            time.sleep(POLL_SECONDS)
        return [str(self.store.get(key).decode()) for key in keys]

    def _watch(self) -> None:
        """Ends this process where another has failed or is gone and it does not find out by itself."""
        beats: dict[int, tuple[bytes, float]] = {}
        watched = range(1, self.ranks.size) if self.ranks.rank == 0 else (0,)
        number = 0
        while not self._leaving.wait(1.0):
            number += 1
            try:
                self._watching.set(self._key("beat"), str(number))
                trouble = self._trouble(beats, watched)
            except RuntimeError as error:
                trouble = _verdict(self.ranks.rank, PeerLost(str(error).partition("\n")[0]))
            if trouble and not self._leaving.wait(GRACE_SECONDS):
                self._end(trouble)

    def _trouble(
        self, beats: dict[int, tuple[bytes, float]], watched: Iterable[int]
    ) -> dict[str, Any] | None:
        key = "failed" if self.ranks.rank == 0 else "over"
        if self._watching.check([key]):
            return dict(json.loads(self._watching.get(key)))
        now = time.monotonic()
        for rank in watched:
            name = self._key("beat", rank)
            beat = self._watching.get(name) if self._watching.check([name]) else b""
            if rank not in beats or beats[rank][0] != beat:
                beats[rank] = beat, now
            elif now - beats[rank][1] > LOST_SECONDS:
                return _verdict(rank, PeerLost(f"no sign of life for {LOST_SECONDS:.0f} s"))
        return None

    def _end(self, trouble: dict[str, Any]) -> None:
        if self.ranks.local_rank == 0:
            print(f"Error: {trouble['message']}", file=sys.stderr, flush=True)
        try:
            self._watching.set("over" if self.ranks.rank == 0 else self._key("left"), json.dumps(trouble))
            if self.ranks.rank == 0:
                time.sleep(PRINTING_SECONDS)  # this process may hold the store that the others read
        finally:
            os._exit(trouble["code"] or 1)

    def _read(self, key: str, seconds: float | None) -> dict[str, Any] | None:
        """A verdict under a key; None if there is none within the time."""
        end = None if seconds is None else time.monotonic() + seconds
        while not self.store.check([key]):
            if end is not None and time.monotonic() >= end:
                return None
            time.sleep(POLL_SECONDS)
        return dict(json.loads(self.store.get(key)))

    def _await(self, name: str, ranks: Iterable[int], seconds: float) -> list[int]:
        """Waits until these ranks have said a name; returns those that have not."""
        end = time.monotonic() + seconds
        missing = list(ranks)
        while missing and time.monotonic() < end:
            missing = [rank for rank in missing if not self.store.check([self._key(name, rank)])]
            time.sleep(POLL_SECONDS)
        return missing

    def _key(self, name: str, rank: int | None = None) -> str:
        return f"{name}/{self.ranks.rank if rank is None else rank}"


def _verdict(rank: int, error: BaseException | None) -> dict[str, Any]:
    if error is None:
        return {"rank": rank, "code": 0, "message": ""}
    code = getattr(error, "exit_code", 130 if isinstance(error, KeyboardInterrupt) else 1)
    text = str(error) if isinstance(error, RecycleError) else f"{type(error).__name__}: {error}"
    return {"rank": rank, "code": code, "message": f"process {rank}: {text}"}
