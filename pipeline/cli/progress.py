"""How far a search is, and how that reads on a line."""

from recycle_pipeline.pipeline.search.records import EpochRecord, EpochSoFar
from recycle_pipeline.pipeline.wording import short


class SearchProgress:
    """What the records of a search add up to.

    Args:
        epochs: of the search.

    Attributes:
        written, changed: positions that reuse wrote in the epochs so far, and values it changed.
    """

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.written = self.changed = 0
        self._first: EpochRecord | None = None
        self._last: EpochRecord | None = None

    def add(self, record: EpochRecord) -> None:
        """Takes the next epoch's record."""
        self._first, self._last = self._first or record, record
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

    def live(self, so_far: EpochSoFar) -> list[str]:
        """The epoch under way in words, the most important first; its loss once known, or the last one's."""
        loss, train = so_far.loss, so_far.train_accuracy
        if loss is None and self._last is not None:
            loss, train = self._last.loss, self._last.train_accuracy
        words = [] if loss is None or train is None else [f"loss {loss:.3f}", f"train {train:.1%}"]
        if self._last is not None:
            words.append(f"{self._last.measured_on} {self._last.accuracy:.1%}")
        return [*words, kept(so_far.prune), f"reused {short(self.written + so_far.written)}"]


def epoch_words(record: EpochRecord, progress: SearchProgress) -> list[str]:
    """An epoch, which `progress` has taken already, in words, the most important first."""
    epochs = progress.epochs
    reused = f"reused {short(progress.written)}"
    if progress.written:
        reused += f", {short(progress.changed)} changed"
    words = [
        f"epoch {record.epoch:>{len(str(epochs))}}/{epochs}",
        f"loss {record.loss:.3f}",
        f"train {record.train_accuracy:.1%}",
        f"{record.measured_on} {record.accuracy:.2%}",
        kept(record.prune),
        reused,
        f"{record.images_per_second:,.0f} images/s",
    ]
    if progress.seconds_left:
        words.append(f"{clock(progress.seconds_left)} left")
    return words


def fitting(words: list[str], room: int) -> str:
    """As many of the words, from the first on, as take at most `room` columns; the first always."""
    line = words[0]
    for word in words[1:]:
        if len(line) + 2 + len(word) > room:
            break
        line += f"  {word}"
    return line


def kept(prune: float) -> str:
    """The kept fraction, with as many digits as it needs: 10%, 37.5%, 0.1%."""
    return f"kept {100 * (1 - prune):.3g}%"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds: 0:01:10."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
