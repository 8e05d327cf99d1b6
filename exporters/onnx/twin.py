"""The dense twin: the same graph with nothing pruned, to time a model against."""

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from recycle_pipeline.exporters.atomic import replacing

ELEMENTWISE = {"Add", "Sub", "Mul", "Div"}  # their constants are means, deviations, scales: no weights


def write_dense_twin(model_path: Path, twin_path: Path) -> None:
    """Copies an ONNX model with every zero of its float32 weights replaced by a small random number.

    Shapes and operators are those of the model, so a difference in latency is the weights' doing
    alone. Biases and the constants of preprocessing stay. The numbers are the same on every call.
    """
    model = onnx.load(str(model_path))
    generator = np.random.default_rng(0)
    scalings = {name for node in model.graph.node if node.op_type in ELEMENTWISE for name in node.input}
    for initializer in model.graph.initializer:
        if initializer.data_type != onnx.TensorProto.FLOAT or len(initializer.dims) < 2:
            continue
        if initializer.name in scalings:
            continue
        weight = numpy_helper.to_array(initializer).copy()
        zeros = weight == 0
        scale = float(np.abs(weight).mean()) or 1e-3
        weight[zeros] = generator.normal(0.0, scale, int(zeros.sum()))
        initializer.CopyFrom(numpy_helper.from_array(weight, initializer.name))
    with replacing(twin_path) as temporary:
        onnx.save(model, str(temporary))
