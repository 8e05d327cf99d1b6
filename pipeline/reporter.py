"""What a running stage says: an interface that the command line fills in."""

from collections.abc import Sequence
from typing import Protocol

from recycle_pipeline.pipeline.search.records import EpochRecord, EpochSoFar


class Reporter(Protocol):
    """Receives progress; every method returns at once."""

    def stage(self, name: str, text: str) -> None:
        """A line about a stage: it starts, was skipped, or finished."""

    def search_begins(self, epochs: int, images: int) -> None:
        """A search prepares: so many epochs of so many images."""

    def search_resumed(self, records: Sequence[EpochRecord]) -> None:
        """It goes on after these epochs of an interrupted search."""

    def search_step(self, done: int, total: int, so_far: EpochSoFar) -> None:
        """The search has done `done` of `total` steps; its present epoch so far."""

    def search_epoch(self, record: EpochRecord) -> None:
        """An epoch of the search is over."""

    def search_over(self) -> None:
        """No more steps come, whether the search finished or failed."""


class Silent:
    """A reporter that says nothing: `--quiet`, and the Python functions."""

    def stage(self, name: str, text: str) -> None:
        """Ignores it."""

    def search_begins(self, epochs: int, images: int) -> None:
        """Ignores it."""

    def search_resumed(self, records: Sequence[EpochRecord]) -> None:
        """Ignores it."""

    def search_step(self, done: int, total: int, so_far: EpochSoFar) -> None:
        """Ignores it."""

    def search_epoch(self, record: EpochRecord) -> None:
        """Ignores it."""

    def search_over(self) -> None:
        """Ignores it."""
