"""Exact shrinking of a model on its way to a file, and the proof that it says what the whole one says."""

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.onnx.dense import Model, write_model
from recycle_pipeline.exporters.onnx.shrink import Left, Shrunk, Size, shrink

# Other kernels sum in another order: up to 3e-6 on logits of order 10.
TOLERANCE, USUAL_LOGIT = 1e-5, 10.0


@dataclass(frozen=True)
class Shrinking:
    """What became of a model.

    Attributes:
        before, after: sizes; equal where there was nothing to remove.
        difference: largest difference of a logit under ONNX Runtime.
        images: how many it was compared on.
        note: why the whole model was written although a smaller one was found; else "".
    """

    before: Size
    after: Size
    difference: float = 0.0
    images: int = 0
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @property
    def changed(self) -> bool:
        return self.before != self.after


def shrunk_if_equal(
    model: Model, batches: Sequence[NDArray[Any]], agreement: float, *, merge: bool
) -> tuple[Model, Mapping[str, Left], Shrinking]:
    """The shrunk model where it is the equal of `model`, else `model`; and what is left of which weights.

    Args:
        model: as exported, weights inside.
        batches: of real images, as the model takes them.
        agreement: fraction of the images whose logits must be the same within `TOLERANCE` (in proportion,
            where logits are larger than usual), the top-1 class included. Below 1 for networks of signs.
        merge: see `shrink`; without it, ternary weights stay ternary.

    Raises:
        RecycleError: ONNX Runtime cannot run one of them.
    """
    found = shrink(model, merge)
    if not found.changed:
        return model, {}, Shrinking(found.before, found.after)
    whole, smaller = _logits(found, model, batches)
    differences = np.abs(whole - smaller).max(1)  # (N,)
    same = differences <= TOLERANCE * max(1.0, float(np.abs(whole).max()) / USUAL_LOGIT)
    same &= whole.argmax(1) == smaller.argmax(1)
    largest = float(differences.max())
    if not same.mean() >= agreement:
        note = f"it would change logits by {largest:.3g}"
        return model, {}, Shrinking(found.before, found.before, largest, len(same), note)
    return found.model, found.left, Shrinking(found.before, found.after, largest, len(same))


def _logits(found: Shrunk, model: Model, batches: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """(N, K) of the whole model and of the shrunk one, on the CPU."""
    from recycle_pipeline.evaluators.session import open_session

    logits = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, each in (("whole", model), ("shrunk", found.model)):
            path = Path(scratch) / f"{name}.onnx"
            copy = Model()
            copy.CopyFrom(each)  # what is written is stamped anew
            write_model(copy, {}, path)
            opened = open_session(path, "cpu")
            logits.append(np.concatenate([opened.predict(batch) for batch in batches]))
    return logits
