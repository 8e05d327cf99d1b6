"""Who hears of a search while it runs."""

from collections.abc import Callable
from dataclasses import dataclass

from recycle_pipeline.pipeline.search.records import EpochRecord, EpochSoFar


@dataclass(frozen=True)
class Listeners:
    """What a search calls as it goes on; by default nobody listens.

    Attributes:
        epoch: told each epoch's record.
        step: told the number of steps done and of all steps, and the epoch so far.
        note: told what a user should know of how the search runs.
    """

    epoch: Callable[[EpochRecord], None] = lambda record: None
    step: Callable[[int, int, EpochSoFar], None] = lambda done, total, so_far: None
    note: Callable[[str], None] = lambda note: None


NOBODY = Listeners()
