"""Dense networks that a model is timed beside, as files for a while."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from recycle_pipeline.evaluators.onnx_model import OnnxModel
    from recycle_pipeline.pipeline.rebuild import Rebuilt


@contextmanager
def twins(rebuilt: "Rebuilt", model: "OnnxModel") -> Iterator[tuple[Path, Path | None]]:
    """Files, for a while: the dense twin of the network, and where the model was shrunk its shapes' own."""
    from recycle_pipeline.exporters.onnx.twin import write_dense_twin
    from recycle_pipeline.pipeline.dense_model import SHRUNK_FROM, write_whole_twin

    shrunk = SHRUNK_FROM in model.metadata
    with tempfile.TemporaryDirectory() as scratch:
        twin, shapes = Path(scratch) / "dense-twin.onnx", Path(scratch) / "same-shapes.onnx"
        write_dense_twin(model.path, shapes if shrunk else twin)
        if shrunk:
            write_whole_twin(rebuilt, twin, embed_preprocessing=model.input_dtype == np.uint8)
        yield twin, shapes if shrunk else None
