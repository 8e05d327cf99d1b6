"""Small real ONNX models, written with onnx.helper, for the tests of evaluators."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

WriteModel = Callable[..., Path]


@pytest.fixture
def write_graph(tmp_path: Path) -> WriteModel:
    """Write a graph of nodes, inputs and outputs (name, type, shape), and initializers."""

    def write(
        nodes: Sequence[onnx.NodeProto],
        inputs: Sequence[tuple[str, int, Sequence[Any]]],
        outputs: Sequence[tuple[str, int, Sequence[Any]]],
        initializers: dict[str, np.ndarray[Any, Any]] | None = None,
        *,
        name: str = "model.onnx",
        opset: int = 17,
        ir_version: int = 10,
        metadata: dict[str, str] | None = None,
    ) -> Path:
        graph = helper.make_graph(
            list(nodes),
            "graph",
            [helper.make_tensor_value_info(*value) for value in inputs],
            [helper.make_tensor_value_info(*value) for value in outputs],
            [numpy_helper.from_array(array, key) for key, array in (initializers or {}).items()],
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version
        )
        helper.set_model_props(model, metadata or {})
        onnx.save(model, tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def write_linear(write_graph: WriteModel) -> WriteModel:
    """Write logits = flatten(images) @ weights for images (batch, 3, 4, 4) and weights (48, K)."""

    def write(
        weights: np.ndarray[Any, Any],
        *,
        batch: int | str = "n",
        dtype: int = TensorProto.FLOAT,
        **options: Any,
    ) -> Path:
        nodes = [
            helper.make_node("Cast", ["images"], ["cast"], to=TensorProto.FLOAT),
            helper.make_node("Flatten", ["cast"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        ]
        inputs = [("images", dtype, [batch, 3, 4, 4])]
        outputs = [("logits", TensorProto.FLOAT, [batch, weights.shape[1]])]
        return write_graph(nodes, inputs, outputs, {"weights": weights.astype(np.float32)}, **options)

    return write


@pytest.fixture
def weights() -> np.ndarray[Any, Any]:
    """(48, 10) fp32."""
    return np.random.default_rng(0).standard_normal((48, 10)).astype(np.float32)


@pytest.fixture
def images() -> np.ndarray[Any, Any]:
    """(20, 3, 4, 4) fp32."""
    return np.random.default_rng(1).standard_normal((20, 3, 4, 4)).astype(np.float32)
