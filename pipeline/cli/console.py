"""Progress on stderr: rich bars on a terminal, plain lines elsewhere, nothing if quiet."""

import os
import sys
from collections.abc import Iterator, Sequence

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from recycle_pipeline.pipeline.cli.lines import hanging
from recycle_pipeline.pipeline.cli.progress import SearchProgress, epoch_words, fitting
from recycle_pipeline.pipeline.reporter import Reporter, Silent
from recycle_pipeline.pipeline.search.records import EpochRecord, EpochSoFar

INDENT = 8  # columns: the name of a stage and a space


def reporter_for(quiet: bool) -> Reporter:
    """The reporter that suits where stderr goes."""
    if quiet:
        return Silent()
    if sys.stderr.isatty() and not os.environ.get("CI"):
        return RichReporter()
    return PlainReporter()


class PlainReporter:
    """A line per stage and epoch."""

    def __init__(self) -> None:
        self._progress = SearchProgress(0)

    def stage(self, name: str, text: str) -> None:
        self._line(name, text)

    def search_begins(self, epochs: int, images: int) -> None:
        self._progress = SearchProgress(epochs)

    def search_resumed(self, records: Sequence[EpochRecord]) -> None:
        for record in records:
            self._progress.add(record)

    def search_step(self, done: int, total: int, so_far: EpochSoFar) -> None:
        """Too often for lines."""

    def search_epoch(self, record: EpochRecord) -> None:
        self._progress.add(record)
        self._line("search", self._one_line(epoch_words(record, self._progress)))

    def search_over(self) -> None:
        """Nothing to close."""

    def _one_line(self, words: list[str]) -> str:
        return "  ".join(words)

    def _line(self, name: str, text: str) -> None:
        print(f"{name:7} {text}", file=sys.stderr, flush=True)


class ImagesPerSecond(ProgressColumn):
    """Over the last half minute, pauses for evaluation included; of a task counted in images."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} images/s" if task.speed else "")


class TimeLeft(TimeRemainingColumn):
    """Nothing before there is a speed to go by."""

    def render(self, task: Task) -> Text:
        return Text("") if task.time_remaining is None else super().render(task) + Text(" left")


class Bar(Progress):
    """A bar, and a line of words under it."""

    words = ""

    def get_renderables(self) -> Iterator[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        if self.words:
            yield Text(" " * INDENT + self.words, no_wrap=True, overflow="ellipsis")


class RichReporter(PlainReporter):
    """The same lines as far as they fit, a bar under them while the search runs. rich honours NO_COLOR."""

    def __init__(self) -> None:
        super().__init__()
        self._console = Console(stderr=True, highlight=False)
        self._bar: Bar | None = None
        self._images = 0  # of all epochs

    def search_begins(self, epochs: int, images: int) -> None:
        super().search_begins(epochs, images)
        self._images = epochs * images
        columns = (
            TextColumn("[bold]search[/]"),
            BarColumn(bar_width=None),
            TaskProgressColumn(show_speed=False),
            TextColumn("{task.description}"),
            ImagesPerSecond(Column(no_wrap=True)),
            TimeLeft(table_column=Column(no_wrap=True)),
        )
        self._bar = Bar(*columns, console=self._console, transient=True)
        self._bar.add_task("preparing", total=None)
        self._bar.start()

    def search_step(self, done: int, total: int, so_far: EpochSoFar) -> None:
        if self._bar is None:
            return
        task = self._bar.tasks[0]
        if task.total is None:  # the first step to be heard of may be one in the middle: no speed from it
            self._bar.reset(task.id, total=self._images)
        epochs, images = self._progress.epochs, done * self._images / total
        epoch = min(epochs, done * epochs // total + 1)
        self._bar.words = fitting(self._progress.live(so_far), self._console.width - INDENT)
        self._bar.update(task.id, completed=images, description=f"epoch {epoch}/{epochs}")

    def search_over(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _line(self, name: str, text: str) -> None:
        text = hanging(text, INDENT, self._console)
        self._console.print(Text.assemble((f"{name:7} ", "bold"), text), soft_wrap=True)

    def _one_line(self, words: list[str]) -> str:
        """What does not fit is on the bar, or in metrics.jsonl."""
        return fitting(words, self._console.width - INDENT)
