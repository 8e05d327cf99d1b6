"""What a search reports, epoch by epoch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EpochRecord:
    """One line of metrics.jsonl.

    Attributes:
        epoch: from 1.
        loss, train_accuracy: means over the epoch's batches, as trained (augmented, moving masks).
        test_accuracy: top-1 fraction on the test split after the epoch; not used for any choice.
        learning_rate: of the last step.
        prune: rate in force.
        written, changed: positions the reuse event after this epoch wrote, and values it changed.
        images_per_second: over the training part of the epoch.
        seconds: since the search began.
    """

    epoch: int
    loss: float
    train_accuracy: float
    test_accuracy: float
    learning_rate: float
    prune: float
    written: int
    changed: int
    images_per_second: float
    seconds: float
