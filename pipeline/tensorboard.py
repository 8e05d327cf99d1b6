"""A search's records as scalars for TensorBoard, a step per epoch. The `tensorboard` package is optional."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from recycle_pipeline.models.errors import PackageMissing
from recycle_pipeline.pipeline.environment import installed_version
from recycle_pipeline.pipeline.run_folder import RunFolder

Values = Mapping[str, Any]  # an `EpochRecord` by names, as in metrics.jsonl
SCALARS: dict[str, Callable[[Values], float | None]] = {
    "loss": lambda values: values["loss"],
    "accuracy/train": lambda values: values["train_accuracy"],
    "accuracy/test": lambda values: values.get("test_accuracy"),
    "accuracy/held_out": lambda values: values.get("held_out_accuracy"),
    "kept": lambda values: 1.0 - values["prune"],
    "reuse/written": lambda values: values["written"],
    "reuse/changed": lambda values: values["changed"],
    "learning_rate": lambda values: values["learning_rate"],
    "images_per_second": lambda values: values["images_per_second"],
}


def check_tensorboard() -> None:
    """Raises PackageMissing, with the command that helps, unless TensorBoard is installed."""
    # Not by trying the import: inside a run folder `tensorboard/` would pass for the package.
    if installed_version("tensorboard") is None:
        raise PackageMissing(
            "--tensorboard needs the package tensorboard, which is not installed: "
            "`pip install tensorboard`, or leave the option out (metrics.jsonl has the same numbers)"
        )


class ScalarLog:
    """The scalars of one search in its run folder; they replace those of an earlier one.

    Args:
        folder: of the run.
        wanted: whether to write; if not, those of an earlier search go all the same.
    """

    def __init__(self, folder: RunFolder, wanted: bool = True) -> None:
        self._folder, self._wanted = folder, wanted
        self._begun = False
        self._writer: Any = None

    def add(self, *epochs: Values) -> None:
        """Writes epochs at once, from the first on: those of a search that goes on are given again."""
        if not self._begun:
            self._begin()
        if self._writer is None:
            return
        for values in epochs:
            for name, value_of in SCALARS.items():
                if (value := value_of(values)) is not None:
                    self._writer.add_scalar(name, value, values["epoch"])
        self._writer.flush()

    def _begin(self) -> None:
        self._begun = True
        for path in self._folder.scalars():
            path.unlink()
        if self._wanted:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder.tensorboard))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def write_missing(folder: RunFolder) -> None:
    """Writes the scalars of a finished search that was done without them."""
    if folder.scalars() or not folder.metrics.is_file():
        return
    log = ScalarLog(folder)
    log.add(*map(json.loads, folder.metrics.read_text("utf-8").splitlines()))
    log.close()
