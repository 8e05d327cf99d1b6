"""What a convolution and a linear layer of a quantized graph have in common: weights, bias, result."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.kernel.graph import Graph, Node, attributes


@dataclass(frozen=True, eq=False)
class Weighted:
    """A layer of ternary weights.

    Attributes:
        weights: (K, ...) int8, 0 or one magnitude of either sign for each output channel.
        magnitude: (K,) int32; 1 where all weights are 0.
        steps: (K,) float32, what an integer weight of 1 stands for.
        bias: (K,) int32.
        name: of the 8-bit tensor that its result becomes.
        way: nodes from it to there.
    """

    weights: NDArray[np.int8]
    magnitude: NDArray[np.int32]
    steps: NDArray[np.float32]
    bias: NDArray[np.int32]
    name: str
    way: list[Node]


def weighted(graph: Graph, node: Node) -> Weighted | None:
    """The layer that a Conv or Gemm is; None where weights are not ternary, or its result has not 8 bits."""
    stored, after, bias = graph.stored(node.input[1]), graph.requantized(node), _bias(graph, node)
    if stored is None or after is None or bias is None:
        return None
    weights, steps = stored
    magnitude = _magnitudes(weights)
    if magnitude is None:
        return None
    count = len(weights)
    if not {steps.size, bias.size} <= {1, count} or (steps.size > 1 and graph.axis(node.input[1])):
        return None
    steps = np.broadcast_to(steps, count).astype(np.float32)
    return Weighted(weights, magnitude, steps, np.broadcast_to(bias, count), *after)


def flattened(graph: Graph, names: list[str], node: Node) -> tuple[str, list[Node]] | None:
    """The 8-bit tensor of `names` that a Gemm reads, and the nodes that lay it flat, which may be none.

    None where it reads another, or where somebody else takes what was laid flat.
    """
    source = graph.source(node.input[0])
    if source is None or source in names:
        return (source, []) if source else None
    quantize = graph.maker[source]
    shape = graph.maker.get(quantize.input[0])
    before = graph.source(shape.input[0]) if shape is not None and lays_flat(graph, shape) else None
    if shape is None or before not in names:
        return None
    same = graph.scale(before) == graph.scale(source) and graph.zero(before) == graph.zero(source)
    alone = all(len(graph.takers[name]) == 1 for name in (quantize.input[0], source, node.input[0]))
    way = [shape, quantize]
    return (before, way) if same and alone and not graph.results & {n.output[0] for n in way} else None


def is_plain_gemm(node: Node) -> bool:
    """Whether it is images times the transposed weights, nothing scaled."""
    said = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0} | attributes(node)
    return said == {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1}


def lays_flat(graph: Graph, node: Node) -> bool:
    """Whether a node makes one row of each image."""
    if node.op_type == "Flatten":
        return bool(attributes(node).get("axis", 1) == 1)
    if node.op_type != "Reshape" or node.input[1] not in graph.constants:
        return False
    shape = graph.array(node.input[1]).tolist()
    return len(shape) == 2 and shape[0] in (0, -1)


def _bias(graph: Graph, node: Node) -> NDArray[np.int32] | None:
    """Zero where it has none; None where it is no int32."""
    if len(node.input) < 3 or not node.input[2]:
        return np.zeros(1, np.int32)
    stored = graph.stored(node.input[2])
    return stored[0] if stored is not None and stored[0].dtype == np.int32 else None


def _magnitudes(weights: NDArray[Any]) -> NDArray[np.int32] | None:
    """The one magnitude of each output channel; None where one has several."""
    if weights.dtype != np.int8:
        return None
    flat = np.abs(weights.reshape(len(weights), -1).astype(np.int32))
    magnitude = np.maximum(flat.max(1), 1)
    return magnitude if ((flat == 0) | (flat == magnitude[:, None])).all() else None
