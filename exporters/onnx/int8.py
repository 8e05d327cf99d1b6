"""`--export onnx-int8`: 8-bit activations, and 8-bit weights that are those of the subnetwork to the bit.

Quantization is onnxruntime's own, in the form that it and others read best: QuantizeLinear and
DequantizeLinear around every operator, a step for each output channel. Weights use 64 steps either side, of
127 that there are: a ternary weight then is -64, 0 or 64, and its step magnitude / 64 is exact in float32.
And the sums of two products that processors without VNNI make in 16 bits cannot overflow: 2 x 255 x 64 is
less than 32,768; with 127 steps they could.
"""

import contextlib
import errno
import io
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from recycle_pipeline.exporters.onnx.dense import INPUT
from recycle_pipeline.exporters.onnx.operator_at_fault import operator_at_fault
from recycle_pipeline.exporters.onnx.relu_first import relu_first
from recycle_pipeline.models.errors import RecycleError

Batch = NDArray[np.float32] | NDArray[np.uint8]


def quantized(model: onnx.ModelProto, batches: Iterable[Batch]) -> onnx.ModelProto:
    """The model with 8-bit weights and activations.

    Args:
        model: dense-equivalent, float32.
        batches: images as it takes them, of the training split: the range of each activation is the least and
            the greatest value that it takes on them.

    Raises:
        RecycleError: onnxruntime cannot quantize it, or there are no batches.
        OSError: there is no room for its temporary files.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = _quantized(model, batches, Path(folder))
        except Exception as error:  # it has no single error class
            _require_room(folder, model.ByteSize())
            where = operator_at_fault(model, lambda part: _quantized(part, [_blank(model)], Path(folder)))
            raise RecycleError(f"onnxruntime cannot quantize this network{where}: {error}") from error
    found.ir_version = model.ir_version
    found.producer_name, found.producer_version = model.producer_name, model.producer_version
    del found.metadata_props[:]
    found.metadata_props.extend(model.metadata_props)
    return found


def _quantized(model: onnx.ModelProto, batches: Iterable[Batch], folder: Path) -> onnx.ModelProto:
    """Raises what onnxruntime raises."""
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    source, path = folder / "float.onnx", folder / "int8.onnx"
    onnx.save(relu_first(model), str(source))  # a model given itself would be changed
    with _quiet():
        quantize_static(
            source,
            path,
            _reader(batches),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
    return onnx.load(str(path))


def _blank(model: onnx.ModelProto) -> Batch:
    """An image of zeros, as the model takes them."""
    taken = model.graph.input[0].type.tensor_type
    shape = [dim.dim_value or 1 for dim in taken.shape.dim]
    zeros: Batch = np.zeros(shape, onnx.helper.tensor_dtype_to_np_dtype(taken.elem_type))
    return zeros


def _require_room(folder: str, size: int) -> None:
    """Raises OSError where the disk is full: onnxruntime speaks of its half-written file then."""
    if shutil.disk_usage(folder).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), folder)


def _reader(batches: Iterable[Batch]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Gives one batch after the other."""

        def __init__(self) -> None:
            self._batches = iter(batches)

        def get_next(self) -> dict[str, Batch] | None:
            batch = next(self._batches, None)
            return None if batch is None else {INPUT: batch}

    return Reader()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """It advises its own preprocessing, which the exporter has done already, and prints progress."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
