"""Kills, what they leave, and what the same command makes of it."""

import json
import os
import random
import resource
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crashing.folders import differences, half_written, stages_done
from crashing.operations import die, torn, watch
from crashing.scenarios import Scenario

GATES = (3, 4, 5)  # a command that ends with one of them left all there is to leave
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
DEADLINE = 300.0  # seconds for one command


@dataclass(frozen=True)
class Kill:
    """When a process is killed.

    Attributes:
        operation: before this file operation, from 1; 0 for none.
        size: where not None, not before that operation but when a file grows beyond so many bytes after it.
        seconds: where not None, after so long.
        by: the signal then: SIGINT and SIGTERM let the process end by itself.
    """

    operation: int = 0
    size: int | None = None
    seconds: float | None = None
    by: signal.Signals = signal.SIGKILL

    def described(self) -> str:
        if self.seconds is not None:
            return f"{self.by.name} after {self.seconds:.2f} s"
        return f"operation {self.operation}" + ("" if self.size is None else f", beyond {self.size} bytes")


class Campaign:
    """A scenario, its undisturbed end, and cases of it.

    Args:
        name, scenario: what.
        work: a folder of its own.
        command: calls `recycle-pipeline` in this process, which has all imports.
    """

    def __init__(
        self, name: str, scenario: Scenario, work: Path, command: Callable[[list[str]], None]
    ) -> None:
        self._scenario, self._work, self._command = scenario, work, command
        self.slowest_end = 0.0  # seconds from a signal to the end of the process
        self.name, self._before, self._whole = name, work / "before", work / "whole"
        self._here = work / "case"  # everything is made there, since absolute paths are in the results
        self._here.mkdir(parents=True)
        scenario.prepare(self._here)
        for line in scenario.before:
            self._must(line)
        shutil.copytree(self._here, self._before)
        log = work / "operations"
        began = time.monotonic()
        self._end, said = self._run(scenario.line, log=log)
        if self._end not in (0, *GATES):
            raise SystemExit(f"{name}: the command ended with {self._end}:\n{said}")
        self.seconds = time.monotonic() - began
        self._here.rename(self._whole)
        self.operations = log.read_text().splitlines()
        sizes = {path.stat().st_size for path in self._whole.rglob("*") if path.is_file()}
        self.sizes = sorted(sizes - {0})

    def case(self, kills: list[Kill]) -> dict[str, Any]:
        """Kills the command one time after the other, resumes it, and compares.

        Returns:
            `killed`, how often it was; `wrong`, in what a kill left and in the end.
        """
        here = self._here
        shutil.rmtree(here, ignore_errors=True)
        shutil.copytree(self._before, here)
        killed, wrong = 0, list[str]()
        redone = list[str]()
        for kill in kills:
            code, said = self._run(self._scenario.line, kill)
            redone += self._redone(said, begun=killed > 0)
            if code is not None and code != CODES.get(kill.by):
                if code != self._end:
                    wrong.append(f"exit {code}: {said[-300:]}")
                break
            killed += 1
            self._done = stages_done(here / "run", self._whole / "run")
            wrong += half_written(here / "run", (self._before / "run", self._whole / "run"))
        code, said = self._run(self._scenario.line)
        redone += self._redone(said, begun=killed > 0)
        found = (
            [f"resumed: exit {code}: {said[-300:]}"] if code != self._end else differences(here, self._whole)
        )
        return {"killed": killed, "wrong": wrong + redone + found}

    def _redone(self, said: str, *, begun: bool) -> list[str]:
        """Stages that were finished when the process before was killed, and were not skipped now."""
        if not begun:
            return []
        wrong = []
        for stage in self._done:
            lines = [line for line in said.splitlines() if line.startswith(f"{stage:7} ")]
            if lines and not lines[0].endswith("unchanged, skipped") and stage not in self._scenario.forced:
                wrong.append(f"{stage} was redone: {lines[0]}")
        return wrong

    def _must(self, line: tuple[str, ...]) -> None:
        code, said = self._run(line)
        if code != 0:
            raise SystemExit(f"{self.name}: {' '.join(line)} ended with {code}:\n{said}")

    def _run(
        self, line: tuple[str, ...], kill: Kill | None = None, log: Path | None = None
    ) -> tuple[int | None, str]:
        """Exit code, None if it was killed, and what it said."""
        said = self._work / "said"
        pid = os.fork()
        if pid == 0:
            self._child(line, kill, log, said)
        status = self._waited(pid, kill)
        if os.WIFSIGNALED(status):
            expected = (signal.SIGKILL, signal.SIGXFSZ)
            if kill is None or os.WTERMSIG(status) not in expected:
                return -os.WTERMSIG(status), said.read_text(errors="replace")
            return None, said.read_text(errors="replace")
        return os.WEXITSTATUS(status), said.read_text(errors="replace")

    def _waited(self, pid: int, kill: Kill | None) -> int:
        """The status of the process, which is sent its signal when it is time."""
        after = DEADLINE if kill is None or kill.seconds is None else kill.seconds
        if (status := _ended(pid, after)) is not None:
            return status
        sent = time.monotonic()
        os.kill(pid, kill.by if kill else signal.SIGKILL)
        status = _ended(pid, DEADLINE)
        if status is None:
            raise SystemExit(f"{self.name}: no end {DEADLINE} s after a signal")
        self.slowest_end = max(self.slowest_end, time.monotonic() - sent)
        return status

    def _child(self, line: tuple[str, ...], kill: Kill | None, log: Path | None, said: Path) -> None:
        """The forked process: in the folder, with temporary files and caches in it too."""
        code, folder = 70, self._here
        try:
            os.chdir(folder)
            out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(out, 1)
            os.dup2(out, 2)
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
            (folder / "tmp").mkdir(exist_ok=True)
            os.environ |= {"TMPDIR": str(folder / "tmp"), "RECYCLE_PIPELINE_CACHE": str(folder / "cache")}
            tempfile.tempdir = None
            operations: list[str] = []
            if kill is not None and kill.operation:
                watch(folder, kill.operation, die if kill.size is None else torn(kill.size))
            elif log is not None:
                watch(folder, 0, die, operations)
            try:
                self._command(list(line))
            except SystemExit as stop:
                code = int(stop.code or 0)
            if log is not None:
                log.write_text("\n".join(operations))
        finally:
            os._exit(code)


def kills_of(campaign: Campaign, kind: str, number: int, luck: random.Random) -> list[list[Kill]]:
    """Cases of one kind, as many as asked for at the most.

    Args:
        campaign: knows the operations.
        kind: `operations`, each of them; `torn`, within a write after one of them that opens a file;
            `moments`, once to three times at random; `signals`, SIGINT or SIGTERM at random.
        number: of cases; for `operations`, 0 is all.
        luck: decides.
    """
    total = len(campaign.operations)
    if kind == "operations":
        every = list(range(1, total + 1))
        chosen = every if number == 0 else sorted(luck.sample(every, min(number, total)))
        return [[Kill(operation=each)] for each in chosen]
    if kind == "torn":
        opened = [n for n, what in enumerate(campaign.operations, 1) if what.startswith("open")]
        return [
            [Kill(luck.choice(opened), size=luck.choice([0, 1, *(max(1, s - 1) for s in campaign.sizes)]))]
            for _ in range(number)
        ]
    longest = 1.1 * campaign.seconds
    if kind == "signals":
        kinds = (signal.SIGINT, signal.SIGTERM)
        return [[Kill(seconds=luck.uniform(0.05, longest), by=luck.choice(kinds))] for _ in range(number)]
    return [
        [Kill(seconds=luck.uniform(0.0, longest)) for _ in range(luck.choice((1, 1, 2, 3)))]
        for _ in range(number)
    ]


def _ended(pid: int, within: float) -> int | None:
    """Its status, None if it still runs after so many seconds."""
    began = time.monotonic()
    while time.monotonic() - began < within:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        time.sleep(0.002)
    return None


def children_seconds() -> float:
    """CPU seconds of all that was forked."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def as_line(found: dict[str, Any]) -> str:
    return json.dumps(found)
