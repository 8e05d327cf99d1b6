"""What a running search leaves in its run folder and tells: a line per epoch, scalars, progress."""

import json
from types import TracebackType
from typing import Self

from recycle_pipeline.pipeline.reporter import Reporter
from recycle_pipeline.pipeline.run_folder import RunFolder
from recycle_pipeline.pipeline.search.listeners import Listeners
from recycle_pipeline.pipeline.search.records import EpochRecord
from recycle_pipeline.pipeline.tensorboard import ScalarLog


class SearchLog:
    """Open from before the first epoch to after the last one.

    Args:
        folder: of the run; it is there.
        reporter: for progress.
        tensorboard: whether scalars are wanted.

    Attributes:
        records: of all epochs so far, those before an interruption included.
    """

    def __init__(self, folder: RunFolder, reporter: Reporter, *, tensorboard: bool) -> None:
        self.records: list[EpochRecord] = []
        self._reporter = reporter
        self._scalars = ScalarLog(folder, tensorboard)
        self._live = folder.live_metrics.open("w", encoding="utf-8")

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
        self._keep(record)
        self._reporter.search_epoch(record)

    def _keep(self, *records: EpochRecord) -> None:
        self.records.extend(records)
        lines = [record.to_json() for record in records]
        self._live.writelines(json.dumps(line) + "\n" for line in lines)
        self._live.flush()
        self._scalars.add(*lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._live.close()
            self._scalars.close()
        finally:
            self._reporter.search_over()
