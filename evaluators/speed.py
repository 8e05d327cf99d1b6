"""The one word that an interval of a ratio of latencies allows to be said of the first of two models."""

from typing import Literal

SAME_SPEED = 0.02  # difference of latencies that is not worth a word
Speed = Literal["faster", "slower", "as fast", "not told apart"]


def speed_of(low: float, high: float) -> Speed:
    """ "faster" or "slower" where the interval does not include 1 and reaches beyond `SAME_SPEED`.

    "as fast" only where the whole interval lies within `SAME_SPEED` of 1: a wide one shows no equality.

    Args:
        low, high: ends of the interval of the ratio.
    """
    if low > 1 - SAME_SPEED and high < 1 + SAME_SPEED:
        return "as fast"
    return "faster" if high < 1 else "slower" if low > 1 else "not told apart"
