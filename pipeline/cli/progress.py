"""How far a search is, and how that reads on a line."""

from recycle_pipeline.pipeline.search.records import EpochRecord


class SearchProgress:
    """What the records of a search add up to.

    Args:
        epochs: of the search.
        prune: fraction removed that it ends with.

    Attributes:
        kept: fraction kept in the last epoch; None before the first.
        scheduled: whether an epoch has kept another fraction than the search ends with.
        written, changed: positions that reuse wrote so far, and values it changed.
    """

    def __init__(self, epochs: int, prune: float) -> None:
        self.epochs = epochs
        self.kept: float | None = None
        self.scheduled = False
        self.written = self.changed = 0
        self._prune = prune
        self._first: EpochRecord | None = None
        self._last: EpochRecord | None = None

    def add(self, record: EpochRecord) -> None:
        """Takes the next epoch's record."""
        self._first, self._last = self._first or record, record
        self.kept = 1.0 - record.prune
        self.scheduled = self.scheduled or record.prune != self._prune
        self.written += record.written
        self.changed += record.changed

    @property
    def seconds_left(self) -> float | None:
        """By the mean of the epochs seen; the first, which prepares more, only as long as it is alone."""
        first, last = self._first, self._last
        if first is None or last is None:
            return None
        each = first.seconds / first.epoch
        if last is not first:
            each = (last.seconds - first.seconds) / (last.epoch - first.epoch)
        return each * (self.epochs - last.epoch)

    def state(self) -> list[str]:
        """Kept fraction, where a schedule moves it, and what was reused so far, in words."""
        words = []
        if self.scheduled and self.kept is not None:
            words.append(f"kept {self.kept:.2%}")
        if self.written:
            words.append(f"reused {short(self.written)}, {short(self.changed)} changed")
        return words

    def brief(self) -> list[str]:
        """The last epoch in words, the most important first."""
        if self._last is None or self.kept is None:
            return []
        words = [
            f"kept {self.kept:.1%}",
            f"loss {self._last.loss:.3f}",
            f"{self._last.measured_on} {self._last.accuracy:.1%}",
        ]
        return [*words, f"reused {short(self.written)}"] if self.written else words


def epoch_line(record: EpochRecord, progress: SearchProgress) -> str:
    """An epoch, which `progress` has taken already, as a line of text."""
    epochs = progress.epochs
    words = [
        f"epoch {record.epoch:>{len(str(epochs))}}/{epochs}",
        f"loss {record.loss:.3f}",
        f"train {record.train_accuracy:.1%}",
        f"{record.measured_on} {record.accuracy:.2%}",
        f"{record.images_per_second:,.0f} images/s",
        *progress.state(),
    ]
    if progress.seconds_left:
        words.append(f"{clock(progress.seconds_left)} left")
    return "  ".join(words)


def fitting(words: list[str], room: int) -> str:
    """As many of the words, from the first on, as take at most `room` columns; the first always."""
    line = words[0]
    for word in words[1:]:
        if len(line) + 2 + len(word) > room:
            break
        line += f"  {word}"
    return line


def short(count: float) -> str:
    """A count for people: 999, 12.3k, 2.23M, 1.20G."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.{1 if unit == 'k' else 2}f}{unit}"
    return f"{count:.0f}"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds: 0:01:10."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
