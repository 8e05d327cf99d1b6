"""`--learning-rate-after EPOCHS:RATE[,...]`: other peaks of the learning rate, each from an epoch on.

A setting of the search like any other: with it a search from the first epoch is the same as one that went on
with it, so nothing need be remembered of how it came about.
"""

import itertools
import math

from recycle_pipeline.models.errors import UsageFault

NAME = "learning_rate_after"
Changes = tuple[tuple[int, float], ...]


def rate_changes(text: str | None) -> Changes:
    """Pairs of the number of epochs before it and the rate, in order.

    Raises:
        UsageFault: it is not such a list, an epoch does not come after the one before, or a rate is not
            finite and above 0.
    """
    pairs = [part.partition(":") for part in text.split(",")] if text is not None else []
    try:
        changes = tuple((int(epochs), float(rate)) for epochs, _, rate in pairs)
    except ValueError:
        raise _refused(text) from None
    after = [0, *(epochs for epochs, _ in changes)]
    rising = all(one < other for one, other in itertools.pairwise(after))
    if not rising or not all(0 < rate < math.inf for _, rate in changes):
        raise _refused(text)
    return changes


def _refused(text: str | None) -> UsageFault:
    return UsageFault(
        f"--learning-rate-after {text}: expected EPOCHS:RATE, for example 3:0.01 for 0.01 from the fourth "
        "epoch on, or several with commas, their epochs rising"
    )


def as_text(changes: Changes) -> str | None:
    """One spelling of what may be spelled in several; None of no changes."""
    return ",".join(f"{epochs}:{rate!r}" for epochs, rate in changes) or None


def seen_by(text: str | None, epochs: int) -> str | None:
    """The part that the first `epochs` epochs of a search have met."""
    return as_text(tuple(change for change in rate_changes(text) if change[0] < epochs))
