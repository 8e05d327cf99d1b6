"""What a search reports, epoch by epoch."""

import dataclasses
from dataclasses import dataclass
from typing import Any

TEST, HELD_OUT = "test", "held out"


@dataclass(frozen=True)
class EpochSoFar:
    """An epoch under way.

    Attributes:
        loss, train_accuracy: means over its images so far, or a moment ago; of several processes, over the
            images of the one that tells. None before any are known.
        prune: rate in force.
        written: positions that reuse events within it wrote so far.
    """

    loss: float | None
    train_accuracy: float | None
    prune: float
    written: int


@dataclass(frozen=True)
class EpochRecord:
    """One line of metrics.jsonl. Exactly one of `test_accuracy` and `held_out_accuracy` is there.

    Attributes:
        epoch: from 1.
        loss, train_accuracy: means over the epoch's batches, as trained (augmented, moving masks).
        test_accuracy: top-1 fraction on the test split after the epoch; not used for any choice.
        held_out_accuracy: the same on images held out of the train split, by which choices may be made.
        learning_rate: of the last step.
        prune: rate in force.
        written, changed: positions the reuse event after this epoch wrote, and values it changed.
        images_per_second: over the training part of the epoch.
        seconds: since the search began.
    """

    epoch: int
    loss: float
    train_accuracy: float
    test_accuracy: float | None
    learning_rate: float
    prune: float
    written: int
    changed: int
    images_per_second: float
    seconds: float
    held_out_accuracy: float | None = None

    @property
    def measured_on(self) -> str:
        """What `accuracy` was measured on: "test" or "held out"."""
        return TEST if self.held_out_accuracy is None else HELD_OUT

    @property
    def accuracy(self) -> float:
        """Top-1 fraction after the epoch, on what `measured_on` says."""
        found = self.test_accuracy if self.held_out_accuracy is None else self.held_out_accuracy
        assert found is not None, "a record without an accuracy"
        return found

    def to_json(self) -> dict[str, Any]:
        """By names, without the accuracy that was not measured."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
