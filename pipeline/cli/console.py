"""Progress on stderr: rich bars on a terminal, plain lines elsewhere, nothing if quiet."""

import os
import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from recycle_pipeline.pipeline.reporter import Reporter, Silent
from recycle_pipeline.pipeline.search.records import EpochRecord


def reporter_for(quiet: bool) -> Reporter:
    """The reporter that suits where stderr goes."""
    if quiet:
        return Silent()
    if sys.stderr.isatty() and not os.environ.get("CI"):
        return RichReporter()
    return PlainReporter()


def epoch_line(record: EpochRecord, epochs: int) -> str:
    """One epoch as a line of text."""
    words = [
        f"epoch {record.epoch:>{len(str(epochs))}}/{epochs}",
        f"loss {record.loss:.3f}",
        f"train {record.train_accuracy:.1%}",
        f"test {record.test_accuracy:.2%}",
        f"{record.images_per_second:,.0f} images/s",
    ]
    if record.written:
        words.append(f"reused {record.written:,}")
    return "  ".join(words)


class PlainReporter:
    """A line per stage and epoch."""

    def stage(self, name: str, text: str) -> None:
        self._line(name, text)

    def search_step(self, done: int, total: int) -> None:
        """Too often for lines."""

    def search_epoch(self, record: EpochRecord, epochs: int) -> None:
        self._line("search", epoch_line(record, epochs))

    def search_over(self) -> None:
        """Nothing to close."""

    def _line(self, name: str, text: str) -> None:
        print(f"{name:7} {text}", file=sys.stderr, flush=True)


class RichReporter:
    """The same lines, with a bar under them while the search runs. rich honours NO_COLOR."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._progress: Progress | None = None
        self._task = TaskID(0)

    def stage(self, name: str, text: str) -> None:
        self._line(name, text)

    def search_step(self, done: int, total: int) -> None:
        if self._progress is None:
            columns = (
                TextColumn("[bold]search[/]"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TextColumn("steps, left"),
                TimeRemainingColumn(),
            )
            self._progress = Progress(*columns, console=self._console, transient=True)
            self._task = self._progress.add_task("search", total=total)
            self._progress.start()
        self._progress.update(self._task, completed=done)

    def search_epoch(self, record: EpochRecord, epochs: int) -> None:
        self._line("search", epoch_line(record, epochs))

    def search_over(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _line(self, name: str, text: str) -> None:
        self._console.print(Text.assemble((f"{name:7} ", "bold"), text), soft_wrap=True)
