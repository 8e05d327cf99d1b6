"""Counts and sizes in words, as every command says them."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recycle_pipeline.evaluators.samples import Spread


def with_interval(found: "Spread", form: str = ".4g", factor: float = 1.0) -> str:
    """A value and its 95 % interval, each times a factor: "1.23 (1.20 to 1.26)"; one block bounds nothing."""
    if not math.isfinite(found.high):
        return f"{factor * found.value:{form}} (no interval)"
    low, high = (f"{factor * end:{form}}" for end in (found.low, found.high))
    return f"{factor * found.value:{form}} ({low} to {high})"


def printable(text: str) -> str:
    """A name from a file, each character that does not print replaced: control codes, lone surrogates."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def size(count: int) -> str:
    """Bytes for people, in decimal units."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1e3:,.1f} kB" if count < 1e6 else f"{count / 1e6:,.2f} MB"


def short(count: float) -> str:
    """A count for people: 999, 12.3k, 2.23M, 1.20G."""
    for scale, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= scale:
            return f"{count / scale:.{1 if unit == 'k' else 2}f}{unit}"
    return f"{count:.0f}"


def compact(count: int) -> str:
    """A count in at most six characters of a table, or seven: 9,999, 12.3k, 2.23M."""
    return f"{count:,}" if count < 10_000 else short(count)
