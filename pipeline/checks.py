"""Checks of single settings. Each refusal says the option, what was given, and what is expected."""

import difflib
import math
from pathlib import Path
from typing import Any

from recycle_pipeline.models.errors import UsageFault


def option(name: str) -> str:
    """How a setting is spelled on the command line."""
    return "--" + name.replace("_", "-")


def check_prune(prune: float) -> None:
    """Raises UsageFault unless 0 < prune < 1, with a hint for what was probably meant."""
    if isinstance(prune, bool) or not isinstance(prune, int | float) or math.isnan(prune):
        raise UsageFault(f"--prune {prune!r}: expected a number between 0 and 1, the fraction removed")
    if 0 < prune < 1:
        return
    if prune == 0:
        what = "removes nothing and leaves no search to do; give the fraction to remove, for example 0.9"
    elif prune == 1:
        what = "removes every weight; give the fraction to remove, for example 0.9"
    elif 1 < prune < 100:
        what = f"is not a fraction; did you mean {prune / 100:g}?"
    else:
        what = "is not a fraction between 0 and 1; for example 0.9 removes 90 % of the weights"
    raise UsageFault(f"--prune {prune:g} {what}")


def check_output_file(name: str, path: Path, suffixes: tuple[str, ...]) -> None:
    """Raises UsageFault unless a file may bear that name: a suffix that is known, a folder that is there."""
    if path.suffix not in suffixes:
        *others, last = suffixes
        known = f"{', '.join(others)} or {last}" if others else last
        raise UsageFault(f"{option(name)} {path}: expected a name that ends in {known}")
    if path.is_dir():
        raise UsageFault(f"{option(name)} {path} is a folder: expected the name of a file")
    if not path.parent.is_dir():
        where = f"there is no folder {path.parent}"
        raise UsageFault(f"{option(name)} {path}: {where}; make it, or choose another")


def check_choice(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    """Raises UsageFault unless the value is one of the choices, with the nearest; None is not shown."""
    if value not in choices:
        known = [c for c in choices if c is not None]
        close = difflib.get_close_matches(str(value), known, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise UsageFault(f"{option(name)} {value!r}: expected one of {', '.join(known)}{hint}")


def check_provider(value: str, known: tuple[str, ...]) -> None:
    """Raises UsageFault unless ONNX Runtime, which is loaded for names that are not `known`, knows it."""
    if value in known:
        return
    from recycle_pipeline.evaluators.provider_names import canonical

    try:
        canonical(value, "auto")
    except UsageFault as fault:
        raise UsageFault(f"--provider {value!r}: {fault}") from None


def check_at_least(name: str, value: int | None, low: int) -> None:
    """Raises UsageFault if a value is given and below `low`."""
    if value is not None and value < low:
        raise UsageFault(f"{option(name)} {value}: expected at least {low}")


def check_counts(name: str, values: tuple[int, ...], low: int, high: int) -> None:
    """Raises UsageFault unless there is one, each once, and all from low to high."""
    bad = [value for value in values if not low <= value <= high]
    if bad or not values or len(set(values)) < len(values):
        got = ",".join(map(str, values))
        raise UsageFault(
            f"{option(name)} {got}: expected one or more different whole numbers from {low} to {high}"
        )


def check_between(
    name: str, value: float | None, low: float, high: float, low_open: bool = False, high_open: bool = False
) -> None:
    """Raises UsageFault if a value is given and not finite or not in the interval, closed but where open."""
    if value is None:
        return
    too_low = value <= low if low_open else value < low
    too_high = value >= high if high_open else value > high
    if too_low or too_high or not math.isfinite(value):
        interval = f"{'more than' if low_open else 'at least'} {low:g}"
        if math.isfinite(high):
            interval += f" and {'less than' if high_open else 'at most'} {high:g}"
        raise UsageFault(f"{option(name)} {value:g}: expected {interval}")
