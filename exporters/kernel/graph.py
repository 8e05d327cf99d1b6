"""An ONNX graph, quantized or not, as the planners of the kernels ask about it."""

from collections import defaultdict
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from recycle_pipeline.exporters.kernel.packed import Window

LARGEST_WINDOW, LARGEST_STRIDE = 31, 8  # that the kernels read
Node = onnx.NodeProto


class Graph:
    """A graph with QuantizeLinear and DequantizeLinear around operators: who makes and who takes tensors."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.constants = {item.name: item for item in graph.initializer}
        self.maker: dict[str, Node] = {name: node for node in graph.node for name in node.output}
        self.takers: dict[str, list[Node]] = defaultdict(list)
        for node in graph.node:
            for name in node.input:
                self.takers[name].append(node)
        self.results = {value.name for value in graph.output}

    def array(self, name: str) -> NDArray[Any]:
        """The values of a constant."""
        return numpy_helper.to_array(self.constants[name])

    def quantized(self, name: str) -> Node | None:
        """The QuantizeLinear to 8 unsigned bits, one scale for all, whose result `name` is."""
        node = self.maker.get(name)
        if node is None or node.op_type != "QuantizeLinear" or len(node.input) != 3:
            return None
        known = node.input[1] in self.constants and node.input[2] in self.constants
        if not known or self.array(node.input[1]).size != 1 or self.array(node.input[2]).dtype != np.uint8:
            return None
        return node

    def source(self, name: str) -> str | None:
        """The 8-bit tensor of which `name` is the dequantized one."""
        node = self.maker.get(name)
        if node is None or node.op_type != "DequantizeLinear" or not self.quantized(node.input[0]):
            return None
        return str(node.input[0])

    def image(self, name: str) -> str | None:
        """The constant (1, C, H, W) of 8 unsigned bits, one scale, of which `name` is the dequantized one."""
        node = self.maker.get(name)
        if node is None or node.op_type != "DequantizeLinear" or len(node.input) != 3:
            return None
        if not set(node.input) <= set(self.constants) or len(self.takers[node.input[0]]) > 1:
            return None
        values, steps = self.array(node.input[0]), self.array(node.input[1])
        image = values.dtype == np.uint8 and values.ndim == 4 and len(values) == 1 and steps.size == 1
        return str(node.input[0]) if image else None

    def stored(self, name: str) -> tuple[NDArray[Any], NDArray[np.float32]] | None:
        """The integers and the scale of a constant that is dequantized, its zero point 0."""
        node = self.maker.get(name)
        if node is None or node.op_type != "DequantizeLinear" or node.input[0] not in self.constants:
            return None
        if len(node.input) > 2 and self.array(node.input[2]).any():
            return None
        return self.array(node.input[0]), self.array(node.input[1]).reshape(-1)

    def axis(self, name: str) -> int:
        """Along which a dequantized constant has its scales."""
        return int(attributes(self.maker[name]).get("axis", 1))

    def scale(self, name: str) -> np.float32:
        """Of an 8-bit tensor."""
        return np.float32(self.array(self._quantization(name).input[1]).reshape(()))

    def zero(self, name: str) -> int:
        """The zero point of an 8-bit tensor."""
        return int(self.array(self._quantization(name).input[2]).reshape(()))

    def _quantization(self, name: str) -> Node:
        """The node that knows an 8-bit tensor's scale and zero point; of a constant the one that takes it."""
        return self.maker.get(name) or self.takers[name][0]

    def requantized(self, node: Node) -> tuple[str, list[Node]] | None:
        """The 8-bit tensor that a node's result becomes, and the nodes on the way; none else may take it."""
        name, way = node.output[0], list[Node]()
        while len(self.takers[name]) == 1 and name not in self.results:
            [taker] = self.takers[name]
            way.append(taker)
            name = taker.output[0]
            if taker.op_type == "QuantizeLinear" and self.quantized(name):
                # A ReLU is what saturation does anyway where the zero point is 0.
                return (name, way) if len(way) == 1 or self.zero(name) == 0 else None
            if taker.op_type != "Relu":
                return None
        return None


def window_of(node: Node, size: Any) -> Window | None:
    """What a convolution or pooling slides, its holes included, where the kernels have it."""
    said = attributes(node)
    strides, pads = tuple(said.get("strides", (1, 1))), tuple(said.get("pads", (0, 0, 0, 0)))
    if said.get("auto_pad", b"NOTSET") != b"NOTSET" or len(strides) != 2 or len(size) != 2:
        return None
    sides = tuple((side - 1) * apart + 1 for side, apart in zip(size, _dilations(node), strict=True))
    small = max(sides) <= LARGEST_WINDOW and max(strides) <= LARGEST_STRIDE
    fits = all(pad < side for pad, side in zip(pads, sides * 2, strict=True))
    return Window((sides[0], sides[1]), strides, pads) if small and fits else None


def pool_of(node: Node) -> Window | None:
    """What max pooling slides: without holes, and not beyond the image."""
    said = attributes(node)
    return (
        None if said.get("ceil_mode") or _dilations(node) != (1, 1) else window_of(node, said["kernel_shape"])
    )


def spread(node: Node, weights: NDArray[Any]) -> NDArray[Any]:
    """A convolution's weights (K, C / groups, rows, columns) with zeros in place of groups and dilations."""
    groups, (down, right) = attributes(node).get("group", 1), _dilations(node)
    count, inputs, rows, columns = weights.shape
    shape = (count, inputs * groups, (rows - 1) * down + 1, (columns - 1) * right + 1)
    found, outputs = np.zeros(shape, weights.dtype), count // groups
    for group in range(groups):
        mine = slice(group * outputs, (group + 1) * outputs), slice(group * inputs, (group + 1) * inputs)
        found[*mine, ::down, ::right] = weights[mine[0]]
    return found


def _dilations(node: Node) -> tuple[int, ...]:
    return tuple(attributes(node).get("dilations", (1, 1)))


def attributes(node: Node) -> dict[str, Any]:
    """By name."""
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}
