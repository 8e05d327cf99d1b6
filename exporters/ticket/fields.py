"""Fields of a ticket's header, each with the type and the range it must have.

JSON lets a boolean, a text or 1.0 stand where an integer is meant, and Python's int(), float() and
str() would take them: here nothing is converted.
"""

import re
from collections.abc import Mapping, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket import layout
from recycle_pipeline.models.draws import MAX_SEED
from recycle_pipeline.models.options import ACTIVATIONS, BATCH_NORMS, DEFAULT_OPTIONS, MAX_WIDTH, ArchOptions
from recycle_pipeline.models.subnetwork import MaskedTensor, Subnetwork


def text(value: Any) -> str:
    """Raises ValueError unless a text."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a text")
    return value


def short_text(value: Any) -> str:
    """Raises ValueError unless a text of at most `layout.MAX_NAME` characters."""
    if len(text(value)) > layout.MAX_NAME:
        raise ValueError(f"a name of {len(value)} characters, at most {layout.MAX_NAME} are allowed")
    return str(value)


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


def keys(value: Any, needed: Set[str], optional: Set[str] = frozenset()) -> None:
    """Raises ValueError unless an object of the needed keys, of these optional ones, and of no other."""
    if not isinstance(value, dict):
        raise ValueError(f"a {type(value).__name__} where an object is expected")
    for key in sorted(needed - value.keys()):
        raise ValueError(f"{key!r} is missing")
    for key in sorted(value.keys() - needed - optional):
        raise ValueError(f"{key!r} is no field")


def digest(value: Any) -> str:
    """Raises ValueError unless a SHA-256 in hexadecimal digits."""
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{64}", value):
        raise ValueError(f"{value!r} is no SHA-256")
    return value


def choice(value: Any, choices: tuple[Any, ...]) -> Any:
    """Raises ValueError unless one of the choices."""
    if value not in choices:
        raise ValueError(f"{value!r} is not one of {', '.join(choices)}")
    return value


def float32_hex(value: np.float32) -> str:
    """The eight hexadecimal digits of a float32's bits."""
    return f"{int(np.float32(value).view(np.uint32)):08x}"


def float32_of(digits: Any) -> np.float32:
    """The inverse of `float32_hex`, finite and not negative. Raises ValueError unless it is."""
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


def subnetwork_of(
    header: Mapping[str, Any], tensors: tuple[MaskedTensor, ...], state: Mapping[str, NDArray[Any]]
) -> Subnetwork:
    """The subnetwork of these tensors and this state, with what else the header says.

    Raises:
        KeyError, ValueError: a field is missing or not as it must be.
    """
    choice(header["generator"], (layout.GENERATOR,))
    channels = integer(header["channels"], 1, layout.MAX_CHANNELS)
    return Subnetwork(
        arch=short_text(header["arch"]),
        classes=tuple(map(text, entries(header["classes"], 1, layout.MAX_CLASSES))),
        channels=channels,
        image_size=integer(header["image_size"], 1, layout.MAX_IMAGE_SIZE),
        mean=tuple(number(v, -1e30, 1e30) for v in entries(header["mean"], channels, channels)),
        std=tuple(number(v, 1e-30, 1e30) for v in entries(header["std"], channels, channels)),
        seed=integer(header["seed"], 0, MAX_SEED),
        kind=choice(header["subnetwork"], ("binary", "continuous")),
        prune=number(header["prune"], 0.0, 1.0),
        scope=choice(header["scope"], ("layer", "global")),
        recipe=scalars(header["recipe"]),
        tensors=tensors,
        state=state,
        options=options_of(header["options"]) if "options" in header else DEFAULT_OPTIONS,
    )


def said_of(subnetwork: Subnetwork) -> dict[str, Any]:
    """The fields of the header that `subnetwork_of` reads."""
    options = subnetwork.options.changed()
    return {
        "arch": subnetwork.arch,
        "classes": list(subnetwork.classes),
        "channels": subnetwork.channels,
        "image_size": subnetwork.image_size,
        "mean": list(subnetwork.mean),
        "std": list(subnetwork.std),
        "seed": subnetwork.seed,
        "subnetwork": subnetwork.kind,
        "prune": subnetwork.prune,
        "scope": subnetwork.scope,
        "generator": layout.GENERATOR,
        "recipe": dict(subnetwork.recipe),
        **({"options": options} if options else {}),
    }
