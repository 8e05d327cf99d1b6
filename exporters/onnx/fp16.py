"""`--export onnx-fp16`: weights and activations in 16 bits, for the CUDA provider; float32 in and out."""

from collections.abc import Iterable

import numpy as np
import onnx
import onnx_ir
from onnx import TensorProto, numpy_helper, version_converter

from recycle_pipeline.exporters.onnx.activations import largest_activations
from recycle_pipeline.exporters.onnx.int8 import Batch
from recycle_pipeline.exporters.onnx.operator_at_fault import given_by, operator_at_fault, read_by
from recycle_pipeline.exporters.onnx.runtime import Versions
from recycle_pipeline.models.errors import RecycleError

LARGEST = float(np.finfo(np.float16).max)
ROOM = 2  # images that were not seen may have values as many times as large


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


def require_room(model: onnx.ModelProto, batches: Iterable[Batch]) -> None:
    """Refuses a model whose values would leave float16, on images as it takes them.

    Logits alone do not show it: a CPU computes the form in float32.

    Args:
        model: dense-equivalent, float32.
        batches: of the training split.

    Raises:
        RecycleError: a value reaches more than half of float16's largest; names the tensor.
    """
    for name, largest in largest_activations(model, batches).items():
        if not largest <= LARGEST / ROOM:
            raise RecycleError(
                f"onnx-fp16: {name}, of {given_by(model, name)}, reaches {largest:.6g} on images of the "
                f"training split, and float16 ends at {LARGEST:g}: expected at most {LARGEST / ROOM:g}, as "
                "other images may go further; choose another --export"
            )


def in_versions(model: onnx.ModelProto, versions: Versions) -> onnx.ModelProto:
    """The model in a newer opset and IR version; as it is where it has them or onnx cannot bring it there.

    Args:
        model: it is left as it is.
        versions: no older than those of the model.
    """
    if versions.ir_version == model.ir_version:
        return model
    try:
        found = version_converter.convert_version(model, versions.opset)
    except RuntimeError:  # what it gains, some speed, is not worth a refusal
        return model
    found.ir_version = versions.ir_version
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
