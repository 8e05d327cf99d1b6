"""What a running search leaves in its run folder and tells: a line per epoch, scalars, progress."""

import contextlib
import json
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from recycle_pipeline.exporters.atomic import write_text
from recycle_pipeline.pipeline.reporter import Reporter
from recycle_pipeline.pipeline.run_folder import RunFolder
from recycle_pipeline.pipeline.search.listeners import Listeners
from recycle_pipeline.pipeline.search.records import EpochRecord
from recycle_pipeline.pipeline.tensorboard import ScalarLog


class SearchLog:
    """Open from before the first epoch to after the last one.

    A line that cannot be written, on a full disk, is told once, and the search goes on: `finish` writes all.

    Args:
        folder: of the run; it is there.
        reporter: for progress.
        tensorboard: whether scalars are wanted.
        check: called after each epoch; what it raises ends the search.

    Attributes:
        records: of all epochs so far, those before an interruption included.
    """

    def __init__(
        self,
        folder: RunFolder,
        reporter: Reporter,
        *,
        tensorboard: bool,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.records: list[EpochRecord] = []
        self._check = check
        self._reporter = reporter
        self._scalars = ScalarLog(folder, tensorboard)
        self._folder, self._failing = folder, False
        folder.live_metrics.unlink(missing_ok=True)  # a link there would lead a writer elsewhere
        self._live = folder.live_metrics.open("x", encoding="utf-8")

    @property
    def listeners(self) -> Listeners:
        """What the search calls."""
        return Listeners(self._epoch, self._reporter.search_step, self.note)

    def note(self, text: str) -> None:
        """Something a user should know."""
        self._reporter.stage("search", text)

    def resumed(self, *records: EpochRecord) -> None:
        """The search goes on after these epochs."""
        self._keep(*records)
        self._reporter.search_resumed(records)

    def _epoch(self, record: EpochRecord) -> None:
        self._check()
        self._keep(record)
        self._reporter.search_epoch(record)

    def _keep(self, *records: EpochRecord) -> None:
        self.records.extend(records)
        try:
            self._live.writelines(_lines(records))
            self._live.flush()
            self._scalars.add(*(record.to_json() for record in records))
        except OSError as error:
            if not self._failing:
                self.note(
                    f"{self._folder.live_metrics} cannot be written ({error.strerror}); the search goes on: "
                    "free some space until it ends"
                )
            self._failing = True

    def finish(self) -> None:
        """Writes the metrics of the finished search, after which those of a running one are not needed.

        Raises:
            OSError: they cannot be written.
        """
        write_text(self._folder.metrics, "".join(_lines(self.records)))
        self._folder.live_metrics.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            with contextlib.suppress(OSError):  # what could not be written when it was
                self._live.close()
            with contextlib.suppress(OSError):
                self._scalars.close()
        finally:
            self._reporter.search_over()


def _lines(records: Iterable[EpochRecord]) -> list[str]:
    return [json.dumps(record.to_json()) + "\n" for record in records]
