"""Which part of a quantized ONNX graph the compiled kernels compute, as the steps that they know."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from recycle_pipeline.exporters.kernel.packed import Addition, Conv, Image, MaxPool, Step, Window

Node = onnx.NodeProto


@dataclass
class Part:
    """A part of the graph: from one tensor of 8 bits to another.

    Attributes:
        names: of the 8-bit tensors, by number; the first is the input.
        images: what they hold.
        steps: that make them.
        nodes: of the graph, that each step stands for.
        target: number of the tensor that leaves it.
    """

    names: list[str] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    nodes: list[list[Node]] = field(default_factory=list)
    target: int = 0


class Graph:
    """A graph of QuantizeLinear and DequantizeLinear around every operator, by what makes and takes tensors."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.constants = {item.name: item for item in graph.initializer}
        self.maker = {name: node for node in graph.node for name in node.output}
        self.takers: dict[str, list[Node]] = defaultdict(list)
        for node in graph.node:
            for name in node.input:
                self.takers[name].append(node)
        self.place = {node.output[0]: place for place, node in enumerate(graph.node)}
        self.results = {value.name for value in graph.output}

    def array(self, name: str) -> NDArray[Any]:
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
        return node.input[0]

    def stored(self, name: str) -> tuple[NDArray[Any], NDArray[np.float32]] | None:
        """The integers and the scale of a constant that is dequantized, its zero point 0."""
        node = self.maker.get(name)
        if node is None or node.op_type != "DequantizeLinear" or node.input[0] not in self.constants:
            return None
        if len(node.input) > 2 and self.array(node.input[2]).any():
            return None
        return self.array(node.input[0]), self.array(node.input[1]).reshape(-1)

    def scale(self, name: str) -> np.float32:
        node = self.quantized(name)
        assert node is not None
        return np.float32(self.array(node.input[1]).reshape(()))

    def zero(self, name: str) -> int:
        node = self.quantized(name)
        assert node is not None
        return int(self.array(node.input[2]).reshape(()))

    def requantized(self, node: Node) -> tuple[str, list[Node]] | None:
        """The 8-bit tensor that a node's result becomes, and the nodes on the way; nothing else may take it."""
        name, way = node.output[0], []
        while len(self.takers[name]) == 1 and name not in self.results:
            [taker] = self.takers[name]
            way.append(taker)
            name = taker.output[0]
            if taker.op_type == "QuantizeLinear":
                redundant = len(way) == 1 or self.quantized(name) and self.zero(name) == 0
                return (name, way) if self.quantized(name) and redundant else None
            if taker.op_type != "Relu":  # one whose zero point is 0 is what saturation does anyway
                return None
        return None


def first_part(model: onnx.ModelProto, shape: tuple[int, int, int]) -> Part | None:
    """The longest part from the 8-bit input on that ends in a single tensor; None if there is none.

    Args:
        model: as `onnx-int8` writes it.
        shape: of its input: channels, height, width.
    """
    graph = Graph(model.graph)
    entry = next((n.output[0] for n in model.graph.node if graph.quantized(n.output[0])), None)
    if entry is None:
        return None
    part = Part([entry], [Image(*shape, graph.zero(entry))])
    for node in model.graph.node:
        _extend(graph, part, node)
    return _closed(graph, part)


def _extend(graph: Graph, part: Part, node: Node) -> None:
    """Adds the step that a node is, where it is one and what it reads is there."""
    found = {"Conv": _conv, "MaxPool": _max_pool, "Add": _add}.get(node.op_type, lambda *_: None)(graph, part, node)
    if found is None:
        return
    step, name, nodes = found
    source = part.images[step.source]
    height, width = (
        (side + before + after - size) // stride + 1
        for side, before, after, size, stride in zip(
            (source.height, source.width),
            step.window.pads[:2],
            step.window.pads[2:],
            step.window.size,
            step.window.strides,
            strict=True,
        )
    )
    channels = len(step.signs) if isinstance(step, Conv) else source.channels
    if min(height, width) < 1:
        return
    part.images.append(Image(channels, height, width, graph.zero(name)))
    part.names.append(name)
    part.steps.append(step)
    part.nodes.append(nodes)


Found = tuple[Step, str, list[Node]]


def _conv(graph: Graph, part: Part, node: Node) -> Found | None:
    source, kernel = graph.source(node.input[0]), graph.stored(node.input[1])
    after, window = graph.requantized(node), None
    if source not in part.names or kernel is None or after is None or kernel[0].ndim != 4:
        return None
    weights, steps = kernel
    window = _window(node, weights.shape[2:])
    ternary = _ternary(weights)
    if window is None or ternary is None or weights.shape[1] != part.images[part.names.index(source)].channels:
        return None
    signs, magnitude = ternary
    bias = np.zeros(len(weights), np.int32)
    if len(node.input) > 2 and node.input[2]:
        stored = graph.stored(node.input[2])
        if stored is None or stored[0].dtype != np.int32:
            return None
        bias = stored[0].astype(np.int32)
    name, way = after
    scale = graph.scale(source) * np.broadcast_to(steps, len(weights)).astype(np.float32) / graph.scale(name)
    number = part.names.index(source)
    conv = Conv(number, len(part.names), window, signs, magnitude, bias, scale.astype(np.float32))
    return conv, name, [node, *way]


def _max_pool(graph: Graph, part: Part, node: Node) -> Found | None:
    source, after = graph.source(node.input[0]), graph.requantized(node)
    if source not in part.names or after is None or len(node.output) > 1:
        return None
    name, way = after
    said = _attributes(node)
    window = _window(node, said["kernel_shape"]) if not said.get("ceil_mode") else None
    same = graph.scale(source) == graph.scale(name) and graph.zero(source) == graph.zero(name)
    if window is None or not same:
        return None
    return MaxPool(part.names.index(source), len(part.names), window), name, [node, *way]


def _add(graph: Graph, part: Part, node: Node) -> Found | None:
    """Replaces the convolution that made one of the operands, and is taken by nothing else, by one that adds."""
    operands = [graph.source(name) for name in node.input]
    after = graph.requantized(node)
    if after is None or not set(operands) <= set(part.names) or operands[0] == operands[1]:
        return None
    for own in sorted((0, 1), key=lambda each: -part.names.index(operands[each])):
        merged = _merged(graph, part, operands, own, after[0])
        if merged is None:
            continue
        at = part.names.index(operands[own])
        nodes = [*part.nodes[at - 1], graph.maker[node.input[own]], node, *after[1]]
        if at != len(part.names) - 1:
            return None
        del part.names[at], part.images[at], part.steps[at - 1], part.nodes[at - 1]
        return merged, after[0], nodes
    return None


def _merged(graph: Graph, part: Part, operands: list[Any], own: int, name: str) -> Conv | None:
    u, v = operands[own], operands[1 - own]
    at, other = part.names.index(u), part.names.index(v)
    step = part.steps[at - 1] if at else None
    if not isinstance(step, Conv) or step.addition or len(graph.takers[u]) != 1 or other > at:
        return None
    [reader] = graph.takers[u]
    if len(graph.takers[reader.output[0]]) != 1:
        return None
    a, b = part.images[at], part.images[other]
    if (a.channels, a.height, a.width) != (b.channels, b.height, b.width):
        return None
    ratios = [graph.scale(each) / graph.scale(name) for each in operands]
    zeros = [graph.zero(each) for each in operands]
    # As onnxruntime sums them on x86: the first product is not rounded before it is added (fused).
    second = np.longdouble(np.float32(ratios[1] * np.float32(zeros[1])))
    both = np.float32(np.longdouble(ratios[0]) * zeros[0] + second)
    fixed = np.float32(graph.zero(name)) - both
    addition = Addition(other, zeros[own], own == 0, ratios[own], ratios[1 - own], fixed)
    return replace(step, target=at, addition=addition)


def _ternary(weights: NDArray[Any]) -> tuple[NDArray[np.int8], NDArray[np.int32]] | None:
    """Signs, and the one magnitude of each output channel (1 where all are 0); None where there are several."""
    flat = np.abs(weights.reshape(len(weights), -1).astype(np.int32))
    magnitude = np.maximum(flat.max(1), 1)
    if not ((flat == 0) | (flat == magnitude[:, None])).all():
        return None
    return np.sign(weights).astype(np.int8), magnitude


def _window(node: Node, size: Any) -> Window | None:
    said = _attributes(node)
    strides, pads = tuple(said.get("strides", (1, 1))), tuple(said.get("pads", (0, 0, 0, 0)))
    plain = said.get("group", 1) == 1 and set(said.get("dilations", (1, 1))) == {1}
    if not plain or said.get("auto_pad", b"NOTSET") != b"NOTSET" or len(strides) != 2 or len(size) != 2:
        return None
    small = max(size) <= 31 and max(strides) <= 8
    fits = all(pad < side for pad, side in zip(pads, (*size, *size), strict=True))
    return Window(tuple(size), strides, pads) if small and fits else None  # type: ignore[arg-type]


def _attributes(node: Node) -> dict[str, Any]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def _closed(graph: Graph, part: Part) -> Part | None:
    """The longest beginning of which nothing but the last tensor is taken outside."""
    for count in range(len(part.steps), 0, -1):
        inside = {node.output[0] for nodes in part.nodes[:count] for node in nodes}
        leaving = [name for name in part.names[1 : count + 1] if _leaves(graph, name, inside)]
        if leaving == [part.names[count]]:
            return Part(
                part.names[: count + 1], part.images[: count + 1], part.steps[:count], part.nodes[:count], count
            )
    return None


def _leaves(graph: Graph, name: str, inside: set[str]) -> bool:
    return name in graph.results or any(
        taker.output[0] not in inside for reader in graph.takers[name] for taker in _behind(graph, reader)
    )


def _behind(graph: Graph, node: Node) -> Iterator[Node]:
    """Who takes a dequantized tensor; the node itself, where it is none or its result leaves the graph."""
    if node.op_type != "DequantizeLinear" or node.output[0] in graph.results:
        yield node
        return
    yield from graph.takers[node.output[0]]
