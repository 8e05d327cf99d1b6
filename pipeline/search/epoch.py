"""An epoch of a search besides its training: reuse events before steps and after it, and what is told."""

from collections.abc import Callable, Sequence

from recycle_pipeline.models.masked_network import MaskedNetwork
from recycle_pipeline.pipeline.search.events import reuse_weights
from recycle_pipeline.pipeline.search.records import EpochSoFar
from recycle_pipeline.pipeline.search.settings import (
    SearchSettings,
    event_number_after,
    event_number_before_step,
    prune_at,
    reuse_event_after,
    reuse_event_before_step,
)
from recycle_pipeline.pipeline.search.steps import StepHooks


class EpochUnderWay:
    """An epoch from its beginning until its record is made.

    Args:
        masked: the network under search.
        settings: of the search.
        epoch: from 0.
        on_step: called with the number of steps done, of the whole search, and the epoch so far.

    Attributes:
        prune: rate in force.
        written, changed: positions that its reuse events wrote so far, and values they changed.
    """

    def __init__(
        self,
        masked: MaskedNetwork,
        settings: SearchSettings,
        epoch: int,
        on_step: Callable[[int, EpochSoFar], None],
    ) -> None:
        self._masked, self._settings, self._epoch = masked, settings, epoch
        self._on_step = on_step
        self._loss: float | None = None
        self._accuracy: float | None = None
        self.prune = prune_at(settings, epoch)
        self.written = self.changed = 0

    @property
    def hooks(self) -> StepHooks:
        """What an engine calls while it trains."""
        return StepHooks(self._due_before, self._before, self._done, self._seen)

    def reuse_after(self) -> None:
        """The event after the epoch, if there is one; ranked by the masks just evaluated."""
        if reuse_event_after(self._settings, self._epoch):
            self._reuse(event_number_after(self._settings, self._epoch))

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
        self._on_step(steps, EpochSoFar(self._loss, self._accuracy, self.prune, self.written))
