"""Fields of a ticket's header, each with the type and the range it must have.

JSON lets a boolean, a text or 1.0 stand where an integer is meant, and Python's int(), float() and
str() would take them: here nothing is converted.
"""

import re
from typing import Any

import numpy as np

from recycle_pipeline.models.options import ACTIVATIONS, BATCH_NORMS, MAX_WIDTH, ArchOptions


def text(value: Any) -> str:
    """Raises ValueError unless a text."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a text")
    return value


def integer(value: Any, low: int, high: int) -> int:
    """Raises ValueError unless an integer from low to high."""
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{value!r} is not an integer from {low} to {high}")
    return value


def number(value: Any, low: float, high: float) -> float:
    """Raises ValueError unless a number from low to high, as a float64."""
    if type(value) not in (int, float) or not low <= value <= high:
        raise ValueError(f"{value!r} is not a number from {low:g} to {high:g}")
    return float(value)


def entries(value: Any, low: int, high: int) -> list[Any]:
    """Raises ValueError unless a list of low to high entries."""
    if not isinstance(value, list) or not low <= len(value) <= high:
        raise ValueError(f"a {type(value).__name__} where a list of {low} to {high} entries is expected")
    return value


def scalars(value: Any) -> dict[str, str | int | float | bool]:
    """Raises ValueError unless a flat table of texts, numbers and booleans."""
    if not isinstance(value, dict) or not all(type(v) in (str, int, float, bool) for v in value.values()):
        raise ValueError("recipe is not a flat table of texts, numbers and booleans")
    return value


def choice(value: Any, choices: tuple[Any, ...]) -> Any:
    """Raises ValueError unless one of the choices."""
    if value not in choices:
        raise ValueError(f"{value!r} is not one of {', '.join(choices)}")
    return value


def float32_of(digits: Any) -> np.float32:
    """The inverse of `writer.float32_hex`, finite and not negative. Raises ValueError unless it is."""
    if not isinstance(digits, str) or not re.fullmatch("[0-9a-f]{8}", digits):
        raise ValueError(f"{digits!r} is not a float32 in eight hexadecimal digits")
    value = np.float32(np.uint32(int(digits, 16)).view(np.float32))
    if not np.isfinite(value) or np.signbit(value):
        raise ValueError(f"{digits!r} is not a finite float32 of at least 0")
    return value


def options_of(value: Any) -> ArchOptions:
    """Raises ValueError unless a table of at least one option, none at its default."""
    if not isinstance(value, dict) or not value:
        raise ValueError(f"options {value!r} are not a table of some")
    found = dict(value)
    if "width" in found and type(found["width"]) is not float:
        raise ValueError(f"width {found['width']!r} is not a float")
    options = ArchOptions(
        number(found.pop("width", 1.0), 1e-9, MAX_WIDTH),
        choice(found.pop("activations", "relu"), ACTIVATIONS),
        choice(found.pop("batch_norm", "fixed"), BATCH_NORMS),
    )
    if found or options.changed() != value:
        raise ValueError(f"{value!r} are not options that differ from their defaults")
    return options
