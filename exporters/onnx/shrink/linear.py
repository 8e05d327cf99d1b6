"""Linear layers: Gemm and MatMul of (batch, features) with a constant matrix."""

from collections.abc import Mapping

import numpy as np
import onnx

from recycle_pipeline.exporters.onnx.shrink.graph import Array, Graph, Left, attribute, set_attribute
from recycle_pipeline.exporters.onnx.shrink.known import Known, Layout, Mask, Values
from recycle_pipeline.exporters.onnx.shrink.steps import Keep, Refused
from recycle_pipeline.exporters.onnx.shrink.weighted import Weighted


class Linear(Weighted):
    """A linear layer whose weight is constant, also behind a Flatten."""

    def __init__(self, node: onnx.NodeProto, graph: Graph, layouts: Mapping[str, Layout]) -> None:
        super().__init__(node, graph, layouts)
        self.weight = self.required(self.name)
        self.before = layouts[self.source]
        if self.sources != [node.input[0]] or attribute(node, "transA", 0) or self.before.rank != 2:
            raise Refused("not (batch, features) times a constant")
        self.transposed = bool(attribute(node, "transB", 0))  # stored (outputs, features)
        rows = self.weight if self.transposed else self.weight.T
        if rows.ndim != 2 or rows.shape[1] != self.before.count * self.before.each:
            raise Refused("the weight does not fit the input")
        self.rows = rows.reshape(len(rows), self.before.count, self.before.each)  # (outputs, inputs, inner)
        self.made = Layout(len(rows))
        self.read = np.asarray(self.rows.any(2))
        self.bias()

    def bias(self) -> Array | None:
        name = self.node.input[2] if len(self.node.input) > 2 else ""
        if not name:
            return None
        bias = self.required(name).astype(np.float64) * attribute(self.node, "beta", 1.0)
        if bias.ndim > 1 and bias.shape[0] != 1:
            raise Refused("a bias that differs by image")
        return np.broadcast_to(bias.reshape(-1), (len(self.rows),))

    def contribution(self, maps: Values) -> Values:
        used = maps.reshape(len(maps), -1).any(1)
        rows = self.rows[:, used].astype(np.float64) * attribute(self.node, "alpha", 1.0)
        return np.asarray(np.tensordot(rows, maps[used].reshape(-1, self.before.each), 2))

    def parameters(self, keep: Keep) -> int:
        return int(keep[self.source].sum()) * self.before.each * int(keep[self.result].sum())

    def multiply_adds(self, keep: Keep) -> int:
        return self.parameters(keep)

    def rewrite(self, keep: Keep, known: Mapping[str, Known]) -> None:
        inputs, outputs = keep[self.source], keep[self.result]
        fold = self.fold(keep, known)
        if not inputs.all() or not outputs.all():
            rows = self.rows[outputs][:, inputs].reshape(int(outputs.sum()), -1)
            self.node.input[1] = self.graph.constant(
                rows if self.transposed else np.ascontiguousarray(rows.T), self.name
            )
            axes = (outputs, np.repeat(inputs, self.before.each))
            self.graph.left[self.node.input[1]] = Left.of(self.name, *axes[:: 1 if self.transposed else -1])
        self.write_bias(fold.bias, outputs)

    def write_bias(self, extra: Values, outputs: Mask) -> None:
        if self.node.op_type == "MatMul":
            if extra[outputs].any():
                self.add_behind(extra, outputs)
            return
        super().write_bias(extra, outputs)

    def set_bias(self, name: str) -> None:
        del self.node.input[2:]
        self.node.input.append(name)
        set_attribute(self.node, "beta", 1.0)
