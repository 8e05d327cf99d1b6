"""What the manifest says of an export, as a report reads it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recycle_pipeline.models.errors import CorruptArtefact
from recycle_pipeline.pipeline.manifest import StageEntry

COUNTS = ("filters", "parameters", "multiply_adds")
Json = Mapping[str, Any]


@dataclass(frozen=True)
class Exported:
    """What is known of the models.

    Attributes:
        sizes: bytes of each form.
        missing: why a form that was asked for is not there.
        fold_note: why batch norm stays unfolded; "" where it does not.
        shrinking: what exact shrinking did; None where it was not asked for.
    """

    sizes: Mapping[str, int]
    missing: Mapping[str, str]
    fold_note: str
    shrinking: Json | None


def exported_of(path: Path, entry: StageEntry | None) -> Exported:
    """Nothing where there was no export.

    Args:
        path: of the manifest, for messages.
        entry: of the export.

    Raises:
        CorruptArtefact: a fact is not what `export` writes.
    """
    facts = entry.facts if entry else {}
    try:
        return Exported(
            {str(form): int(count) for form, count in facts.get("bytes", {}).items()},
            {str(form): str(why) for form, why in (facts.get("missing") or {}).items()},
            str(facts.get("fold_note") or ""),
            _shrinking(facts["shrinking"]) if facts.get("shrinking") else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CorruptArtefact(
            f"{path} is damaged (export, {type(error).__name__}: {error}); "
            f"`recycle-pipeline export {path.parent} --force` makes it again"
        ) from error


def _shrinking(found: Json) -> Json:
    sizes = {when: {name: int(found[when][name]) for name in COUNTS} for when in ("before", "after")}
    numbers = {"difference": float(found["difference"]), "images": int(found["images"])}
    return {**found, **sizes, **numbers, "note": str(found["note"])}
