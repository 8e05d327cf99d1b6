"""Forms that break their promise: moved to `rejected/` with the reason, and back once they keep it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from recycle_pipeline.exporters.atomic import write_text
from recycle_pipeline.models.errors import RecycleError
from recycle_pipeline.pipeline.forms import DENSE
from recycle_pipeline.pipeline.manifest import read_manifest, write_manifest
from recycle_pipeline.pipeline.run_folder import RunFolder

if TYPE_CHECKING:
    from recycle_pipeline.evaluators.gates import Verdict

SOUND = ("passed", "not-asked")
# What `onnx` itself promises. Accuracy and speed that somebody asks for are the network's: exporting again
# would not mend them.
PROMISED = ("opens", "gives_logits", "max_difference", "min_agreement", "max_accuracy_drop")


def kept(verdicts: Sequence["Verdict"]) -> bool:
    """Whether a form kept its promise."""
    return all(verdict.outcome in SOUND for verdict in verdicts)


def settle(folder: RunFolder, form: str, verdicts: Sequence["Verdict"]) -> str:
    """Moves a form to where its verdicts say that it belongs.

    Args:
        folder: of the run.
        form: its name.
        verdicts: on it.

    Returns:
        Where it was moved as it broke its promise, within the folder; "" where it kept it.

    Raises:
        OSError: it cannot be moved.
    """
    if kept(verdicts):
        _readmit(folder, form)
        return ""
    withdraw(folder)  # first: killed in between, no earlier verdict speaks for it
    source, target = folder.lying(form), folder.rejection(form)
    target.parent.mkdir(parents=True, exist_ok=True)
    reasons = [f"{v.name} {v.outcome}: {v.sentence}" for v in verdicts if v.outcome not in SOUND]
    write_text(target.with_suffix(".txt"), "\n".join(reasons) + "\n")
    source.replace(target)
    return folder.relative(target)


def withdraw(folder: RunFolder) -> None:
    """Takes back what an earlier `verify` said: its entry, verify.json, and the report made of them."""
    manifest = read_manifest(folder.manifest)
    if manifest.stages.pop("verify", None):
        write_manifest(manifest, folder.manifest)
    for path in (folder.verify, folder.report):
        path.unlink(missing_ok=True)


@contextmanager
def rejecting_onnx(folder: RunFolder) -> Iterator[None]:
    """Rejects `onnx` where what is done within shows that nothing can be measured of it.

    Raises:
        MissedGate: it was rejected.
        RecycleError: as within; `onnx` is not at fault.
    """
    from recycle_pipeline.evaluators.gates import raise_for

    try:
        yield
    except RecycleError as error:
        verdict = unmeasured(DENSE, error)
        moved = settle(folder, DENSE, [verdict])
        text = f"{verdict.sentence}; it lies in {moved} now, and no other form is judged without it"
        raise_for([replace(verdict, sentence=text)])


def unmeasured(form: str, error: RecycleError) -> "Verdict":
    """The verdict on a form of which nothing could be measured. Raises the error if it is not its fault."""
    from recycle_pipeline.evaluators.gates import refusal

    return named(form, [refusal(error)])[0]


def named(form: str, verdicts: Sequence["Verdict"]) -> list["Verdict"]:
    """The same, each with the form's name before its sentence."""
    return [replace(verdict, sentence=f"{form}: {verdict.sentence}") for verdict in verdicts]


def _readmit(folder: RunFolder, form: str) -> None:
    if folder.is_rejected(form):
        folder.model(form).parent.mkdir(exist_ok=True)
        folder.rejection(form).replace(folder.model(form))
    for path in (folder.rejection(form), folder.rejection(form).with_suffix(".txt")):
        path.unlink(missing_ok=True)
