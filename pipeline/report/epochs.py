"""The search of a run: its epochs, of the finished one or of one that was interrupted."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recycle_pipeline.models.errors import CorruptArtefact
from recycle_pipeline.pipeline.manifest import StageEntry
from recycle_pipeline.pipeline.report.estimate import Estimate, proportion
from recycle_pipeline.pipeline.report.facts import Epoch, Search
from recycle_pipeline.pipeline.run_folder import RunFolder
from recycle_pipeline.pipeline.search.records import HELD_OUT, TEST


def search_of(folder: RunFolder, entry: StageEntry | None, settings: Mapping[str, Any]) -> Search | None:
    """What the search left; None where not one epoch is known.

    Args:
        folder: of the run.
        entry: of the search in the manifest; None where it did not finish.
        settings: resolved.

    Raises:
        CorruptArtefact: metrics.jsonl is not what a search writes.
    """
    path = folder.metrics if entry else folder.live_metrics
    if not path.is_file():
        return None
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise CorruptArtefact(f"{path} is damaged: it is no text in UTF-8 ({error.reason})") from error
    if not entry and lines and not lines[-1].endswith("}"):
        lines.pop()  # the search is writing it
    rows = [_row(path, number, line) for number, line in enumerate(lines, 1)]
    if not rows:
        return None
    held_out = "held_out_accuracy" in rows[-1]
    epochs = tuple(_epoch(path, row) for row in rows)
    asked = settings.get("epochs")
    return Search(
        epochs,
        asked if isinstance(asked, int) else len(epochs),
        HELD_OUT if held_out else TEST,
        _accuracy(epochs[-1].accuracy, entry, held_out),
        entry is not None,
    )


def _row(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CorruptArtefact(f"{path}, line {number} is damaged: {error}") from error
    if not isinstance(found, dict):
        raise CorruptArtefact(f"{path}, line {number} is damaged: expected an object")
    return found


def _epoch(path: Path, row: dict[str, Any]) -> Epoch:
    try:
        accuracy = row["held_out_accuracy"] if "held_out_accuracy" in row else row["test_accuracy"]
        return Epoch(
            int(row["epoch"]),
            float(row["loss"]),
            float(row["train_accuracy"]),
            float(accuracy),
            int(row["written"]),
            int(row["changed"]),
            float(row["learning_rate"]),
            float(row["images_per_second"]),
            float(row["seconds"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptArtefact(f"{path} is damaged ({type(error).__name__}: {error})") from error


def _accuracy(top1: float, entry: StageEntry | None, held_out: bool) -> Estimate | None:
    """The last epoch's with its interval; None where it is not known of how many images."""
    name = "held_out_images" if held_out else "test_images"
    count = entry.facts.get(name) if entry else None
    if not isinstance(count, int) or count < 1 or not 0 <= top1 <= 1:
        return None
    return proportion(top1, count, "held-out images" if held_out else "test images")
