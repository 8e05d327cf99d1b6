"""`--export onnx-int2`: ternary weights in ONNX's own 2-bit integers, four to a byte; from opset 25 on."""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, version_converter

from recycle_pipeline.exporters.onnx.compact.levels import Levels, levels_of
from recycle_pipeline.exporters.onnx.operator_at_fault import operator_at_fault
from recycle_pipeline.models.errors import RecycleError

OPSET, IR_VERSION = 25, 13  # the first with 2-bit integers
EACH = 4
OPERATOR_BYTES = 200  # that a weight takes besides


def in_two_bits(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[str]]:
    """The model with its ternary weights in 2-bit integers, one step for each index of an axis.

    Args:
        model: dense-equivalent, float32. It is left as it is.

    Returns:
        The model, and the names of the weights that are of 2 bits now.

    Raises:
        RecycleError: it cannot be brought to opset 25, or no weight is ternary.
    """
    try:
        found = version_converter.convert_version(model, OPSET)
    except RuntimeError as error:
        where = operator_at_fault(model, lambda part: version_converter.convert_version(part, OPSET))
        raise RecycleError(f"onnx cannot bring this network to opset {OPSET}{where}: {error}") from error
    found.ir_version = IR_VERSION
    graph, names, unpacking = found.graph, [], []
    for item in list(graph.initializer):
        if item.data_type != TensorProto.FLOAT or len(item.dims) < 2:
            continue
        levels = levels_of(numpy_helper.to_array(item))
        if levels is None or levels.signs.size / EACH + levels.scale.nbytes + OPERATOR_BYTES >= len(
            item.raw_data
        ):
            continue
        graph.initializer.remove(item)
        graph.initializer.extend((_signs(levels, f"{item.name}/signs"), _steps(levels, f"{item.name}/step")))
        axis = int(np.argmax(levels.scale.shape))
        node = helper.make_node(
            "DequantizeLinear", [f"{item.name}/signs", f"{item.name}/step"], [item.name], axis=axis
        )
        unpacking.append(node)
        names.append(item.name)
    if not names:
        raise RecycleError("onnx-int2: no weight is ternary, as those of --subnetwork binary are")
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend(unpacking + rest)
    return found, names


def _signs(levels: Levels, name: str) -> onnx.TensorProto:
    """Two's complement in two bits, the first of four in the lowest."""
    signs = np.pad(levels.signs.reshape(-1), (0, -levels.signs.size % EACH)).reshape(-1, EACH) & 3
    packed: NDArray[np.uint8] = (signs.astype(np.uint8) << np.array([0, 2, 4, 6], np.uint8)).sum(
        1, dtype=np.uint8
    )
    return onnx.TensorProto(
        name=name, data_type=TensorProto.INT2, dims=levels.signs.shape, raw_data=packed.tobytes()
    )


def _steps(levels: Levels, name: str) -> onnx.TensorProto:
    steps = levels.scale.reshape(-1)
    return numpy_helper.from_array(steps if len(steps) > 1 else steps.reshape(()), name)
