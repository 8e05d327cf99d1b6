"""Models that read weights, and what onnxruntime makes of them."""

from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from recycle_pipeline.exporters.onnx.runtime import USUAL


def weight_of(shape, density, kind, seed=0):
    """Random float32 weights with about this fraction not 0."""
    generator = np.random.default_rng(seed)
    kept = generator.random(shape) < density
    weight = generator.choice([-1.0, 1.0], shape)
    if kind == "a level each":
        weight = weight * generator.uniform(0.1, 3, (shape[0], *[1] * (len(shape) - 1)))
    if kind == "values":
        weight = generator.standard_normal(shape)
    return np.where(kept, weight, 0).astype(np.float32)


def model_with(*weights, kind=TensorProto.FLOAT):
    """Reads each weight as an operator does, and gives it."""
    nodes, inputs, outputs, items = [], [], [], []
    for number, weight in enumerate(weights):
        name, fed = f"layer{number}.weight", f"x{number}"
        operator = "Conv" if weight.ndim == 4 else "MatMul"
        shape, result = (1, weight.shape[0]), (1, weight.shape[1])
        if weight.ndim == 4:
            filters, channels, *sides = weight.shape
            shape, result = (1, channels, 50, 50), (1, filters, *(51 - side for side in sides))
        nodes.append(helper.make_node(operator, [fed, name], [f"y{number}"]))
        inputs.append(helper.make_tensor_value_info(fed, kind, shape))
        outputs.append(helper.make_tensor_value_info(f"y{number}", kind, result))
        items.append(numpy_helper.from_array(weight, name))
    graph = helper.make_graph(nodes, "test", inputs, outputs, items)
    opset = [helper.make_opsetid("", USUAL.opset)]
    return helper.make_model(graph, opset_imports=opset, ir_version=USUAL.ir_version)


def unpacked(model, count):
    """The weights of a packed model as onnxruntime unpacks them."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    names = [f"layer{number}.weight" for number in range(count)]
    for name in names:
        shown.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return session(shown).run(names, fed(shown))


def session(model, level=onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    options.graph_optimization_level = level
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def fed(model):
    generator = np.random.default_rng(1)
    shapes = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in model.graph.input}
    return {name: generator.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture(scope="session")
def made():
    """The functions above."""
    return SimpleNamespace(weight=weight_of, model=model_with, unpacked=unpacked, session=session, images=fed)
