"""Which of the files that `verify` judged are still there: no number may pass for another file's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recycle_pipeline.pipeline.forms import DENSE, FORMS
from recycle_pipeline.pipeline.manifest import StageEntry, digest_if_there
from recycle_pipeline.pipeline.run_folder import RunFolder


@dataclass(frozen=True)
class Standing:
    """How the forms in a run folder stand to what `verify` said of forms.

    Attributes:
        gone: judged ones of which there is no file any more, or another one.
        unjudged: those that are there and that it did not see.
    """

    gone: frozenset[str] = frozenset()
    unjudged: tuple[str, ...] = ()

    def holds(self, content: Mapping[str, Any]) -> dict[str, Any] | None:
        """Of verify.json what is still so; None where it is not `onnx` that it begins with."""
        if DENSE in self.gone:
            return None
        parts = {key: content[key] for key in ("forms", "unmeasured") if key in content}
        held = {**content, **{key: self._without_gone(part) for key, part in parts.items()}}
        if further := content.get("further_latencies"):
            held["further_latencies"] = [row for row in further if row.get("form") not in self.gone]
        return held

    def _without_gone(self, forms: Mapping[str, Any]) -> dict[str, Any]:
        return {form: found for form, found in forms.items() if form not in self.gone}


def standing(folder: RunFolder, content: Mapping[str, Any], entry: StageEntry | None) -> Standing:
    """Compares the files that are there with the digests of those that were judged.

    Args:
        folder: of the run.
        content: of verify.json; {} for what the manifest alone says.
        entry: of `verify` in the manifest, for files of versions that named no digests.
    """
    judged = _digests(content, entry)
    if not judged:
        return Standing()
    there = {form: digest_if_there(folder.lying(form)) for form in FORMS}
    gone = {form for form, digest in judged.items() if there.get(form) != digest}
    gone -= {form for form in gone if there.get(form) is None and _rejected(content, form)}
    new = (form for form in FORMS if folder.model(form).is_file() and there[form] != judged.get(form))
    return Standing(frozenset(gone), tuple(new))


def _digests(content: Mapping[str, Any], entry: StageEntry | None) -> dict[str, str]:
    """SHA-256 of each form, as it was judged."""
    said = content.get("sha256")
    if isinstance(said, dict):
        return {form: str(digest) for form, digest in said.items() if form in FORMS}
    inputs = entry.inputs if entry else {}
    named = {DENSE if name == "model" else name: digest for name, digest in inputs.items()}
    return {form: digest for form, digest in named.items() if form in FORMS}


def _rejected(content: Mapping[str, Any], form: str) -> bool:
    """Whether it was: that it is gone altogether then does not make it pass."""
    parts = {DENSE: content} | dict(content.get("forms", {})) | dict(content.get("unmeasured", {}))
    return "rejected" in parts.get(form, {})
