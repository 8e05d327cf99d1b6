"""How large the values within a model become, under ONNX Runtime on the CPU."""

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import TensorProto, helper

from recycle_pipeline.exporters.onnx.dense import INPUT
from recycle_pipeline.exporters.onnx.int8 import Batch
from recycle_pipeline.models.errors import RecycleError

ENDS = ("ReduceMin", "ReduceMax")


def largest_activations(model: onnx.ModelProto, batches: Iterable[Batch]) -> dict[str, float]:
    """The largest magnitude that each float32 value takes on some images.

    Args:
        model: of one input; left as it is.
        batches: images as it takes them.

    Returns:
        By the tensor's name, in the order of the graph; 0 for all where there are no batches.

    Raises:
        RecycleError: onnxruntime cannot run it.
    """
    import onnxruntime

    names = _floats(model)
    found = dict.fromkeys(names, 0.0)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        probed = _with_ends(model, names).SerializeToString()
        session = onnxruntime.InferenceSession(probed, options, providers=["CPUExecutionProvider"])
        for batch in batches:
            ends = np.abs(session.run(None, {INPUT: batch})).reshape(len(names), len(ENDS)).max(axis=1)
            found = {name: float(np.maximum(found[name], end)) for name, end in zip(names, ends, strict=True)}
    except Exception as error:  # it has no single error class
        raise RecycleError(f"onnxruntime cannot run this network for its activations: {error}") from error
    return found


def _floats(model: onnx.ModelProto) -> list[str]:
    """Names of what its operators give in float32."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    typed = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.output)}
    given = (name for node in model.graph.node for name in node.output)
    return [name for name in given if typed.get(name) == TensorProto.FLOAT]


def _with_ends(model: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    """The model with the least and the greatest of each value as its outputs, so that none has to be kept."""
    found = onnx.ModelProto()
    found.CopyFrom(model)
    del found.graph.output[:]
    for index, name in enumerate(names):
        for end in ENDS:
            output = f"{end} {index}"
            found.graph.node.append(helper.make_node(end, [name], [output], keepdims=0))
            found.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, ()))
    return found
