"""Checkpoints of a running search: found at its beginning, written behind its back while it goes on.

After an epoch the state is copied to host memory, and a thread writes the copy while the next epoch trains.
There is one copy and at most one write at a time. An epoch counts as finished once the checkpoint of the one
before is on the disk: the search waits for it where a write takes longer than an epoch. So of its finished
epochs a killed search loses at most the last one, on a disk of any speed.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from recycle_pipeline.exporters.atomic import TEMPORARY_MARK
from recycle_pipeline.models.errors import CorruptArtefact, UsageFault
from recycle_pipeline.pipeline.checks import option
from recycle_pipeline.pipeline.rate_changes import NAME
from recycle_pipeline.pipeline.search.checkpoint import (
    Checkpoint,
    Search,
    read_checkpoint,
    write_checkpoint,
)
from recycle_pipeline.pipeline.search.records import EpochRecord
from recycle_pipeline.pipeline.search.search_state import SearchState

Records = Sequence[EpochRecord]
PATIENCE = 2.0  # seconds of waiting for the disk, over a whole search, that nobody is told of


class Checkpoints:
    """The checkpoint file of one search. Leaving its `with` block waits for the last write.

    Args:
        path: of the file.
        search: what a checkpoint must be of to be gone on from; see `Checkpoint`.
        on_note: told what a user should know: that the search continues, why it does not, a failed write.
        on_resume: told the records of the epochs that are not done again.
    """

    def __init__(
        self,
        path: Path,
        search: Search,
        on_note: Callable[[str], None],
        on_resume: Callable[..., None] = lambda *records: None,
    ) -> None:
        self._path, self._search = path, search
        self._on_note, self._on_resume = on_note, on_resume
        self._copies: dict[str, Tensor] = {}
        self._pool = ThreadPoolExecutor(1, "checkpoint")
        self._write: Future[None] | None = None
        self._writing = self._written = 0  # the epoch that is being written, and the last one on the disk
        self._failing = False
        self._waited = 0.0  # seconds
        self._slow = False  # whether that was told

    def resume(self, state: SearchState, epochs: int) -> list[EpochRecord]:
        """Brings `state` to where an interrupted search of the same settings left it, if there is one.

        Args:
            state: at its beginning.
            epochs: of the whole search.

        Returns:
            Records of the epochs that are done; empty where the search begins with the first.

        Raises:
            UsageFault: of the same search but for learning rates that epochs of it have met.
        """
        for left in self._path.parent.glob(f".{self._path.name}{TEMPORARY_MARK}*"):
            left.unlink(missing_ok=True)  # of a killed write
        if not self._path.exists():
            return []
        try:
            found = self._usable(epochs)
            state.restore(found.tensors, found.events)
        except (CorruptArtefact, OSError) as error:
            self._on_note(f"{self._path.name} {error}; it is not used, the search begins anew")
            return []
        self._written = len(found.records)
        self._on_note(f"continues after epoch {self._written} of {epochs} ({self._path.name})")
        self._on_resume(*found.records)
        return list(found.records)

    def _usable(self, epochs: int) -> Checkpoint:
        if not self._path.is_file():  # reading a named pipe would wait for ever
            raise CorruptArtefact("is no file")
        found = read_checkpoint(self._path)
        differing = found.differing(self._search)
        if list(differing) == [NAME]:
            raise UsageFault(
                f"{self._path} is of a search whose first {len(found.records)} epochs had another "
                f"learning rate ({differing[NAME]}): let it change after these, or begin anew with --force "
                "search"
            )
        if differing:
            raise CorruptArtefact(f"is of another search ({'; '.join([*differing.values()][:4])})")
        if [record.epoch for record in found.records] != list(range(1, len(found.records) + 1)):
            raise CorruptArtefact("holds records of other epochs than the first ones")
        if not 0 < len(found.records) < epochs:
            raise CorruptArtefact(f"is of epoch {len(found.records)} of {epochs}")
        return found

    def settled(self, seconds: float) -> bool:
        """Whether no write is under way, after waiting for one that long at the most.

        An epoch counts as finished once this is true.
        """
        if self._write is None or self._write.done():
            return True
        began = time.monotonic()
        quiet = seconds if self._slow else min(seconds, PATIENCE - self._waited)
        wait([self._write], quiet)
        self._waited += time.monotonic() - began
        if not self._slow and self._waited >= PATIENCE:
            self._slow = True
            self._on_note(
                "the disk takes longer for a checkpoint than the search for an epoch; the search waits "
                "for it, so that an interruption costs no more: an --output-dir on a faster disk spares "
                "the time"
            )
        return self._write.done()

    def take(self, state: SearchState, records: Records) -> None:
        """Has the state written as it is now; waits for a write that is under way.

        Args:
            state: after an epoch and its reuse event.
            records: of all epochs so far.
        """
        self._end_write()
        self._copy(state.tensors())
        checkpoint = Checkpoint(self._search, state.events, tuple(records), dict(self._copies))
        self._writing = len(records)
        self._write = self._pool.submit(write_checkpoint, checkpoint, self._path)

    def _copy(self, tensors: dict[str, Tensor]) -> None:
        """Into the same host memory again and again; pinned where a GPU writes to it."""
        for name, tensor in tensors.items():
            mine = self._copies.get(name)
            if mine is None:
                mine = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
                self._copies[name] = mine
            mine.copy_(tensor, non_blocking=tensor.is_cuda)
        if any(tensor.is_cuda for tensor in tensors.values()):
            torch.cuda.synchronize()

    def _end_write(self) -> None:
        """Waits for the write, and tells of its failure once; the file before it is still whole."""
        write, self._write = self._write, None
        if write is None:
            return
        error = write.exception()
        if error is None:
            self._written, self._failing = self._writing, False
        elif not self._failing:
            self._failing = True
            reason = (isinstance(error, OSError) and error.strerror) or error
            before = f"that of epoch {self._written} stays" if self._written else "there is none yet"
            self._on_note(
                f"the checkpoint of epoch {self._writing} could not be written ({reason}); {before}, and the "
                "search goes on: free some space, or an interruption costs more than an epoch"
            )

    def kept(self, rate: float | None = None) -> str:
        """For a message that the search stops: what is left to go on from, or nothing if there is none.

        Args:
            rate: a learning rate to go on with, where another may help.
        """
        self._end_write()
        if not self._written:
            return ""
        if rate is None:
            how = "continues there (on a CPU to the same end)"
        else:
            change = f"{option(NAME)} {self._written}:{float(f'{rate:.2g}'):g}"
            how = f"with {change} continues there at a lower rate (without it, on a CPU, to the same end)"
        return (
            f". What it had after epoch {self._written} is kept in {self._path}: the same command {how}; "
            "another setting is another search, which begins anew: give --force search, or another "
            "--output-dir"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end_write()
        self._pool.shutdown()
