"""A report as JSON: the facts by their names, fractions and bytes as numbers, units in the names."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from recycle_pipeline.pipeline.report.comparison import compare
from recycle_pipeline.pipeline.report.facts import RunFacts
from recycle_pipeline.pipeline.version import VERSION

KIND, SCHEMA = "recycle-pipeline report", 1
LEFT_OUT = frozenset({"samples"})  # of every round: they are in verify.json


def to_json(runs: Sequence[RunFacts]) -> dict[str, Any]:
    """Plain dicts, lists, strings and finite numbers.

    A reader must refuse a `schema` that it does not know and may ignore keys that it does not know.
    """
    return {
        "kind": KIND,
        "schema": SCHEMA,
        "tool": VERSION,
        "runs": [_plain(run) for run in runs],
        "comparison": _plain(compare(runs)) if len(runs) > 1 else None,
    }


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if field.name not in LEFT_OUT]
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
