"""A gate's report of known numbers, without a clock."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from recycle_pipeline.evaluators.ab import Measured
from recycle_pipeline.evaluators.blocks import Block, contrast
from recycle_pipeline.evaluators.files import described
from recycle_pipeline.evaluators.gate_plan import Plan
from recycle_pipeline.evaluators.gate_report import GateReport
from recycle_pipeline.evaluators.gates import max_increase, max_size_increase
from recycle_pipeline.evaluators.slowdown import judge


@pytest.fixture
def report_of(tmp_path):
    """A report of a candidate that takes `ratio` times the baseline's 1 ms, in n blocks of 3 rounds."""

    def make(ratio: float, n: int = 12, name: str = "model.onnx") -> GateReport:
        path = Path(tmp_path / name)
        path.write_bytes(b"x" * 1000)
        rng, blocks = np.random.default_rng(0), []
        for _ in range(n):
            ms = np.array([1.0, 1.0, ratio, ratio]) * np.exp(0.004 * rng.standard_normal(4))
            ns = np.round(ms[:, None] * 1e6 * np.ones(3)).astype(np.int64)
            blocks.append(Block(ns, np.full(4, 0.01), (0, 1, 2, 3), True))
        judgement = judge([contrast(block.medians) for block in blocks], 1.05, 0.01)
        measured = Measured(tuple(blocks), {"latency": judgement}, 3.5)
        verdicts = max_increase("max_slowdown", judgement), max_size_increase(1000, 1000, 0.0)
        return GateReport(
            described(path), path, Plan(), measured, "the baseline", None, verdicts, ("a note",)
        )

    return make


@pytest.fixture
def write_linear():
    """Writes a linear model of 48 inputs and that many outputs."""

    def write(path: Path, columns: int) -> None:
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["x", "w"], ["y"])],
            "graph",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 48])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", columns])],
            [numpy_helper.from_array(np.ones((48, columns), np.float32), "w")],
        )
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)

    return write
