"""Graphs written as text, weights beside them, and the comparison that every test ends with."""

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from recycle_pipeline.exporters.onnx.shrink import Shrunk, shrink

HEADER = '<ir_version: 10, opset_import: ["": 20]>'

# Sums of up to a few hundred float32 products of order 1 in another order.
TOLERANCE = 1e-5


def build(text: str, **weights: np.ndarray) -> onnx.ModelProto:
    """A model of ONNX's text form; weights by name, float32 but for integers."""
    model = onnx.parser.parse_model(f"{HEADER} g {text}")
    for name, array in weights.items():
        array = np.asarray(array)
        kind = np.int64 if array.dtype.kind in "iu" else np.float32
        model.graph.initializer.append(numpy_helper.from_array(array.astype(kind), name))
    onnx.checker.check_model(model, full_check=True)
    return model


def run_model(model: onnx.ModelProto, images: np.ndarray, optimized: bool = True) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=providers)
    return session.run(None, {session.get_inputs()[0].name: images})


def shrunk_and_compared(model: onnx.ModelProto, seed: int = 0, merge: bool = True, **how: int) -> Shrunk:
    """Shrinks, checks, and compares every output under ONNX Runtime for batches of 1 and 5."""
    before = model.SerializeToString()
    shrunk = shrink(model, merge, **how)
    assert model.SerializeToString() == before
    onnx.checker.check_model(shrunk.model, full_check=True)
    assert shrunk.model.graph.input == model.graph.input
    assert shrunk.model.graph.output == model.graph.output
    sizes = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim[1:]]
    generator = np.random.default_rng(seed)
    for batch in (1, 5):
        images = generator.normal(size=(batch, *sizes)).astype(np.float32)
        expected, found = run_model(model, images), run_model(shrunk.model, images)
        for a, b in zip(expected, found, strict=True):
            assert a.shape == b.shape
            assert np.abs(a - b).max(initial=0) <= TOLERANCE * max(1.0, np.abs(a).max(initial=0))
    return shrunk


def drawn(*shape: int, seed: int = 0, dead: tuple[int, ...] = (), unread: tuple[int, ...] = ()) -> np.ndarray:
    """Weights of order 1; the filters `dead` and the inputs `unread` are zero."""
    weight = np.random.default_rng(seed).normal(size=shape) / np.sqrt(np.prod(shape[1:]))
    weight[list(dead)] = 0
    if unread:
        weight[:, list(unread)] = 0
    return weight.astype(np.float32)


@pytest.fixture(scope="session")
def model() -> Callable[..., onnx.ModelProto]:
    return build


@pytest.fixture(scope="session")
def compared() -> Callable[..., Shrunk]:
    return shrunk_and_compared


@pytest.fixture(scope="session")
def weight() -> Callable[..., np.ndarray]:
    return drawn


@pytest.fixture(scope="session")
def run_it() -> Callable[..., list[np.ndarray]]:
    return run_model


@pytest.fixture(scope="session")
def arrays() -> Callable[[onnx.ModelProto], dict[str, np.ndarray]]:
    """The constants of a model."""
    return lambda model: {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}


@pytest.fixture(scope="session")
def operators() -> Callable[[onnx.ModelProto], list[str]]:
    return lambda model: [node.op_type for node in model.graph.node]


@pytest.fixture(scope="session")
def weight_shapes() -> Callable[[onnx.ModelProto], list[tuple[int, ...]]]:
    """Shapes of the weights of convolutions and linear layers, in order."""

    def shapes(model: onnx.ModelProto) -> list[tuple[int, ...]]:
        sizes = {i.name: tuple(i.dims) for i in model.graph.initializer}
        layers = [n for n in model.graph.node if n.op_type in ("Conv", "Gemm", "MatMul")]
        return [sizes[node.input[1]] for node in layers]

    return shapes
