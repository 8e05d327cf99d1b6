"""Why `onnx` was rejected, where nothing could be measured of it and there is no verify.json to say so."""

from recycle_pipeline.pipeline.forms import DENSE
from recycle_pipeline.pipeline.report.facts import Gate
from recycle_pipeline.pipeline.report.verdict import FAILED
from recycle_pipeline.pipeline.run_folder import RunFolder
from recycle_pipeline.pipeline.wording import printable

LONGEST = 2000  # characters of all reasons; the file may be a stranger's


def rejected_onnx(folder: RunFolder) -> list[Gate] | None:
    """The gates that it failed; None where it was not rejected."""
    if not folder.is_rejected(DENSE):
        return None
    path = folder.rejection(DENSE).with_suffix(".txt")
    said = ""
    if path.is_file():
        with path.open(encoding="utf-8", errors="replace") as file:
            said = file.read(LONGEST)
    found = [_gate(line) for line in said.splitlines() if line]
    return found or [Gate(DENSE, "rejected", FAILED, "no reason given")]


def _gate(line: str) -> Gate:
    """A line is "gate failed: sentence"."""
    name, _, sentence = printable(line).partition(" failed: ")
    return Gate(DENSE, name, FAILED, sentence) if sentence else Gate(DENSE, "rejected", FAILED, name)
