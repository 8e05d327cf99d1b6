"""`--export onnx-sparse`: weights as ONNX's sparse tensors, values beside places."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

VALUE_BYTES = 4 + 8  # a float32 and the int64 of its place


def sparse(model: onnx.ModelProto) -> list[str]:
    """Makes the weights of a model sparse in place, where that is smaller: above two thirds zeros.

    Every runtime that reads sparse initializers, and onnxruntime does, makes them dense at load: the file is
    smaller, and nothing else. Do it last: tools that convert, quantize or fully check models do not know
    them.

    Args:
        model: its weights inside.

    Returns:
        The names of what is sparse now.
    """
    graph, found = model.graph, []
    for item in list(graph.initializer):
        if item.data_type != TensorProto.FLOAT or len(item.dims) < 2:
            continue
        weight = numpy_helper.to_array(item).reshape(-1)
        places = np.flatnonzero(weight).astype(np.int64)
        if VALUE_BYTES * len(places) >= weight.nbytes:
            continue
        values = numpy_helper.from_array(weight[places], item.name)
        where = numpy_helper.from_array(places, f"{item.name}/places")
        graph.initializer.remove(item)
        graph.sparse_initializer.append(helper.make_sparse_tensor(values, where, list(item.dims)))
        found.append(item.name)
    described = [value for value in graph.value_info if value.name not in found]
    del graph.value_info[:]
    graph.value_info.extend(described)
    return found
