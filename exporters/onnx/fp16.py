"""`--export onnx-fp16`: weights and activations in 16 bits, for the CUDA provider; float32 in and out."""

import numpy as np
import onnx
import onnx_ir
from onnx import TensorProto, numpy_helper

from recycle_pipeline.exporters.onnx.operator_at_fault import operator_at_fault, read_by
from recycle_pipeline.models.errors import RecycleError

LARGEST = float(np.finfo(np.float16).max)


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model in float16, by onnxruntime's converter; what it takes and gives keeps its type.

    Args:
        model: dense-equivalent, float32. It is left as it is.

    Raises:
        RecycleError: a weight is beyond float16, or the model cannot be converted.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    _check_range(model)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    try:
        halves = convert_float_to_float16(copy, keep_io_types=True)
    except Exception as error:  # it has no single error class
        where = operator_at_fault(model, lambda part: convert_float_to_float16(part, keep_io_types=True))
        raise RecycleError(f"onnxruntime cannot convert this network to float16{where}: {error}") from error
    del halves.graph.value_info[:]  # it says float16 of what it casts to float32 for a Resize
    converted = onnx_ir.from_proto(halves)
    converted.graph.sort()  # its casts of inputs come last
    found: onnx.ModelProto = onnx_ir.to_proto(converted)
    return found


def _check_range(model: onnx.ModelProto) -> None:
    for item in model.graph.initializer:
        if item.data_type != TensorProto.FLOAT:
            continue
        largest = np.abs(numpy_helper.to_array(item)).max(initial=0)
        if not largest <= LARGEST:
            raise RecycleError(
                f"onnx-fp16: {item.name}, of {read_by(model, item.name)}, holds {largest:g}, and float16 "
                f"reaches {LARGEST:g}: expected smaller weights; choose another --export"
            )
