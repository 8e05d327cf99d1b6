"""Numbers in words. None leaves without its n, and its interval or the word that it has none."""

from collections.abc import Callable

from recycle_pipeline.evaluators.speed import SAME_SPEED, speed_of
from recycle_pipeline.pipeline.report.estimate import Estimate

FASTER, SLOWER, NOT_JUDGED = "faster", "slower", "not judged: no interval"
NO_DIFFERENCE, AS_FAST = "no difference shown", f"as fast, within {SAME_SPEED:.0%}"
SAID = {"faster": FASTER, "slower": SLOWER, "as fast": AS_FAST, "not told apart": NO_DIFFERENCE}


def percent(fraction: float) -> str:
    """A fraction as a percentage; with more places where two would say nothing."""
    return f"{fraction:.2%}" if fraction >= 0.0005 or not fraction else f"{fraction * 100:.2g}%"


def milliseconds(ms: float) -> str:
    """Three digits that count: 0.0356 ms, 1.23 ms, 123 ms."""
    return f"{digits(ms)} ms"


def digits(value: float) -> str:
    """A number above 0 with three digits that count, or all before the point."""
    if value >= 100 or value <= 0:
        return f"{value:,.0f}"
    places, bound = 2, 10.0
    while value < bound / 10 and places < 9:
        places, bound = places + 1, bound / 10
    return f"{value:.{places if value < 10 else 1}f}"


def factor(value: float) -> str:
    """A ratio."""
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def basis(estimate: Estimate, say: Callable[[float], str]) -> str:
    """What an estimate rests on: "95% interval 96.81% to 99.42%, n = 364 test images"."""
    n = f"n = {estimate.n:,} {estimate.of if estimate.n != 1 else estimate.of.removesuffix('s')}"
    if estimate.interval is None:
        return f"{n}, no interval"
    low, high = estimate.interval
    return f"95% interval {say(low)} to {say(high)}, {n}"


def full(estimate: Estimate, say: Callable[[float], str]) -> str:
    """The number and what it rests on."""
    return f"{say(estimate.value)} ({basis(estimate, say)})"


def speed(ratio: Estimate) -> str:
    """What a ratio of latencies allows to be said of the first model.

    "faster" and "slower" only where the whole interval lies on that side of 1, and reaches further than
    two models that are the same may differ by.
    """
    if ratio.interval is None:
        return NOT_JUDGED
    return SAID[speed_of(*ratio.interval)]


def speed_by(ratio: Estimate) -> str:
    """The same with its size: "faster: takes 15.7% to 15.8% less time"."""
    word = speed(ratio)
    if ratio.interval is None or word not in (FASTER, SLOWER):
        return word
    low, high = ratio.interval
    if low >= 2:
        return f"{word}: takes {low:.2f} to {high:.2f} times the time"
    ends, what = ((1 - high, 1 - low), "less") if word == FASTER else ((low - 1, high - 1), "more")
    return f"{word}: takes {ends[0]:.1%} to {ends[1]:.1%} {what} time"


def bought(share: float, word: str, said: str) -> str:
    """What a form buys beside `onnx`: its speed, only its size, or nothing.

    Args:
        share: its bytes, as a part of `onnx`'s.
        word: of its speed, such as `FASTER`.
        said: the same at the length that there is room for.
    """
    if share >= 1 and word != FASTER:
        return "neither smaller nor faster" if said == word else f"neither smaller nor faster; {said}"
    return f"size only, {said}" if word == SLOWER else said
