"""Decodes many images into a file, with as many processes as there are processors.

The processes are plain subprocesses that are asked over pipes: unlike those of multiprocessing they do not
run the caller's main module again, and whatever ends this process ends their input, and so them.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recycle_pipeline.models.errors import RecycleError
from recycle_pipeline.pipeline.data.folder_images import unreadable
from recycle_pipeline.pipeline.data.statistics import Counts

START = (
    "import sys; sys.path[:] = sys.argv[1:]; "
    "from recycle_pipeline.pipeline.data.decode_worker import main; main()"
)
_PIECE = 32  # images asked for at once: a few MB at 224 pixels


@dataclass(frozen=True)
class Job:
    """What is to be decoded.

    Attributes:
        paths: Of N images.
        gray: Whether to make one channel, otherwise three.
        side: Of the results, in pixels.
        train: How many of the first images count for statistics.
    """

    paths: Sequence[str]
    gray: bool
    side: int
    train: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, side, side)."""
        return len(self.paths), 1 if self.gray else 3, self.side, self.side


def decode_into(file: Path, job: Job, on_done: Callable[[int], None] = lambda images: None) -> Counts:
    """Decodes images into a file that is there and long enough.

    Args:
        file: To be filled with uint8 of `job.shape`.
        job: What to decode.
        on_done: Told the number of images done, now and then, by any thread.

    Returns:
        `statistics.histogram` of the first `job.train` images.

    Raises:
        UsageFault: Images cannot be read; names them.
        RecycleError: A process ended early.
    """
    work = _Work(job, on_done)
    number = min(len(os.sched_getaffinity(0)), -(-len(job.paths) // _PIECE))
    with ThreadPoolExecutor(number, "decode") as pool:
        try:
            for done in [pool.submit(work.through_a_process, file) for _ in range(number)]:
                done.result()
        finally:
            work.stopped.set()  # an error, or Ctrl-C: the others end with what they have in hand
    if work.problems:
        raise unreadable(work.problems, len(job.paths))
    return work.counts


class _Work:
    """A job in pieces, and what has come of them."""

    def __init__(self, job: Job, on_done: Callable[[int], None]) -> None:
        self._job, self._on_done = job, on_done
        self._lock, self.stopped = threading.Lock(), threading.Event()
        self._pieces = iter(range(0, len(job.paths), _PIECE))
        self._done = 0
        self.counts: Counts = np.zeros((job.shape[1], 256), dtype=np.int64)
        self.problems: dict[str, str] = {}

    def through_a_process(self, file: Path) -> None:
        """Has a process of its own decode pieces until none is left."""
        process = subprocess.Popen(
            [sys.executable, "-c", START, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,  # Ctrl-C is for this process, which then ends that one in order
        )
        try:
            with process:
                assert process.stdin and process.stdout
                job = self._job
                print(json.dumps([str(file), job.gray, job.side, job.train]), file=process.stdin)
                for row, paths in self._next_pieces():
                    print(json.dumps([row, paths]), file=process.stdin, flush=True)
                    self._take(json.loads(process.stdout.readline()), len(paths))
                process.stdin.close()
        except (OSError, ValueError) as error:  # a broken pipe, or half an answer
            raise self._ended(process) from error
        finally:
            process.wait()  # Popen's own end does not after an interruption

    def _next_pieces(self) -> Iterator[tuple[int, Sequence[str]]]:
        while not self.stopped.is_set():
            with self._lock:
                row = next(self._pieces, None)
            if row is None:
                return
            yield row, self._job.paths[row : row + _PIECE]

    def _take(self, answer: tuple[list[list[int]], dict[str, str]], images: int) -> None:
        counts, problems = answer
        with self._lock:
            self.counts += np.array(counts, dtype=np.int64)
            self.problems |= problems
            self._done += images
            self._on_done(self._done)

    @staticmethod
    def _ended(process: "subprocess.Popen[str]") -> RecycleError:
        process.kill()
        code = process.wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return RecycleError(
            f"a process that decodes images ended early ({how}); it may have lacked memory or room on the "
            "disk: see what it said above, free some, and run again"
        )
