"""JSON Schema documents (draft 2020-12) of what commands print as JSON and leave in files."""

import json
from importlib.resources import files
from typing import Any

from recycle_pipeline.models.errors import UsageFault

SUFFIX = ".schema.json"


def schema_names() -> list[str]:
    """Of the documents that there are."""
    found = (each.name for each in files(__name__).iterdir())
    return sorted(name.removesuffix(SUFFIX) for name in found if name.endswith(SUFFIX))


def schema_text(name: str) -> str:
    """A document as it was written. Raises UsageFault for a name that is none."""
    if name not in schema_names():
        raise UsageFault(f"there is no schema {name!r}; expected one of {', '.join(schema_names())}")
    return files(__name__).joinpath(name + SUFFIX).read_text("utf-8")


def schema(name: str) -> dict[str, Any]:
    """The document as plain types. Raises UsageFault for a name that is none."""
    found: dict[str, Any] = json.loads(schema_text(name))
    return found
