"""An epoch of a search besides its training: reuse events before steps and after it, and what is told."""

import time
from collections.abc import Callable, Sequence

from recycle_pipeline.models.masked_network import MaskedNetwork
from recycle_pipeline.pipeline.data.image_set import ImageSet
from recycle_pipeline.pipeline.search.events import reuse_weights
from recycle_pipeline.pipeline.search.records import EpochRecord, EpochSoFar
from recycle_pipeline.pipeline.search.settings import (
    SearchSettings,
    event_number_after,
    event_number_before_step,
    learning_rate_at,
    prune_at,
    reuse_event_after,
    reuse_event_before_step,
)
from recycle_pipeline.pipeline.search.steps import EpochSums, StepHooks


class EpochUnderWay:
    """An epoch from its beginning until its record is made.

    Args:
        masked: the network under search.
        settings: of the search.
        epoch: from 0.
        steps: of an epoch.
        on_step: called with the number of steps done and of all steps of the search, and the epoch so far.

    Attributes:
        prune: rate in force.
        written, changed: positions that its reuse events wrote so far, and values they changed.
    """

    def __init__(
        self,
        masked: MaskedNetwork,
        settings: SearchSettings,
        epoch: int,
        steps: int,
        on_step: Callable[[int, int, EpochSoFar], None],
    ) -> None:
        self._masked, self._settings, self._epoch = masked, settings, epoch
        self._steps, self._on_step = steps, on_step
        self._began = time.perf_counter()
        self._loss: float | None = None
        self._accuracy: float | None = None
        self.prune = prune_at(settings, epoch)
        self.written = self.changed = 0

    @property
    def hooks(self) -> StepHooks:
        """What an engine calls while it trains."""
        return StepHooks(self._due_before, self._before, self._done, self._seen)

    def trained(self, sums: EpochSums) -> None:
        """Its training is over; what follows does not count in images per second."""
        self._sums, self._seconds = sums, time.perf_counter() - self._began

    def reuse_after(self) -> None:
        """The event after the epoch, if there is one; ranked by the masks just evaluated."""
        if reuse_event_after(self._settings, self._epoch):
            self._reuse(event_number_after(self._settings, self._epoch))

    def record(self, accuracy: float, images: ImageSet, seconds: float) -> EpochRecord:
        """The finished epoch, trained and with its reuse done.

        Args:
            accuracy: top-1 fraction on the test split of `images`.
            images: the data.
            seconds: since the search began.
        """
        last_step = (self._epoch + 1) * self._steps - 1
        return EpochRecord(
            epoch=self._epoch + 1,
            loss=self._sums.loss,
            train_accuracy=self._sums.accuracy,
            test_accuracy=None if images.held_out else accuracy,
            learning_rate=learning_rate_at(self._settings, last_step, self._steps),
            prune=self.prune,
            written=self.written,
            changed=self.changed,
            images_per_second=len(images.train_labels) / self._seconds,
            seconds=seconds,
            held_out_accuracy=accuracy if images.held_out else None,
        )

    def _due_before(self, step: int) -> bool:
        return reuse_event_before_step(self._settings, step)

    def _before(self, step: int) -> None:
        self._reuse(event_number_before_step(self._settings, step))

    def _reuse(self, number: int) -> None:
        event = reuse_weights(self._masked, self._settings, number)
        self.written += event.written
        self.changed += event.changed

    def _seen(self, sums: Sequence[float]) -> None:
        loss, correct, count = sums
        self._loss, self._accuracy = loss / count, correct / count

    def _done(self, steps: int) -> None:
        so_far = EpochSoFar(self._loss, self._accuracy, self.prune, self.written)
        self._on_step(steps, self._settings.epochs * self._steps, so_far)
