"""Which part of a quantized ONNX graph the compiled kernels compute, as the steps that they know."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import onnx
from numpy.typing import NDArray

from recycle_pipeline.exporters.kernel.graph import (
    LARGEST_WINDOW,
    Graph,
    Node,
    pool_of,
    spread,
    window_of,
)
from recycle_pipeline.exporters.kernel.packed import (
    Addition,
    Constant,
    Conv,
    Image,
    MaxPool,
    Step,
    Sum,
    Window,
    holds,
)
from recycle_pipeline.exporters.kernel.weighted import Weighted, flattened, is_plain_gemm, weighted

Found = tuple[Step, str, list[Node]]  # a step, the tensor that it makes, the nodes that it stands for


@dataclass
class Part:
    """A part of the graph: from one tensor of 8 bits to another.

    Attributes:
        names: of the 8-bit tensors, by number; the first is the input, the last leaves the part.
        images: what they hold.
        steps: that make them, but for the first.
        nodes: of the graph, that each step stands for.
        flat: tensors that are one row of each image in the graph: what linear layers make.
    """

    names: list[str] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    nodes: list[list[Node]] = field(default_factory=list)
    flat: set[str] = field(default_factory=set)


def first_part(model: onnx.ModelProto, shape: tuple[int, int, int]) -> Part | None:
    """The longest part from the 8-bit input on that ends in a single tensor; None if there is none.

    Args:
        model: as `onnx-int8` writes it.
        shape: of its input: channels, height, width.
    """
    graph = Graph(model.graph)
    entry = next((n.output[0] for n in model.graph.node if graph.quantized(n.output[0])), None)
    if entry is None or not holds(Image(*shape, 0)):
        return None
    part = Part([entry], [Image(*shape, graph.zero(entry))])
    for node in model.graph.node:
        _extend(graph, part, node)
    return _closed(graph, part)


def _extend(graph: Graph, part: Part, node: Node) -> None:
    """Adds the step that a node is, where it is one and what it reads is there."""
    found = KNOWN[node.op_type](graph, part, node) if node.op_type in KNOWN else None
    if found is None:
        return
    step, name, nodes = found
    source = part.images[step.source]
    channels = len(step.signs) if isinstance(step, Conv) else source.channels
    image = Image(channels, *_sides(source, step.window), graph.zero(name))
    if not holds(image):
        return
    part.images.append(image)
    part.names.append(name)
    part.steps.append(step)
    part.nodes.append(nodes)


def _sides(source: Image, window: Window) -> tuple[int, int]:
    """Of what a window gives of an image."""
    sides, before, after = (source.height, source.width), window.pads[:2], window.pads[2:]
    height, width = (
        (sides[i] + before[i] + after[i] - window.size[i]) // window.strides[i] + 1 for i in (0, 1)
    )
    return height, width


def _conv(graph: Graph, part: Part, node: Node) -> Found | None:
    source, layer = graph.source(node.input[0]), weighted(graph, node)
    if source is None or source not in part.names or layer is None or layer.weights.ndim != 4:
        return None
    number, window = part.names.index(source), window_of(node, layer.weights.shape[2:])
    weights = spread(node, layer.weights) if window else layer.weights
    if window is None or weights.shape[1] != part.images[number].channels:
        return None
    return _convolution(graph, part, number, window, weights, layer), layer.name, [node, *layer.way]


def _gemm(graph: Graph, part: Part, node: Node) -> Found | None:
    """A linear layer: a convolution whose window is the whole image, laid flat before or of one pixel."""
    found = flattened(graph, part.names, node) if is_plain_gemm(node) else None
    layer = weighted(graph, node) if found else None
    if found is None or layer is None:
        return None
    number, image = part.names.index(found[0]), part.images[part.names.index(found[0])]
    sides = image.height, image.width
    if max(sides) > LARGEST_WINDOW or layer.weights.shape[1] != image.channels * image.height * image.width:
        return None
    weights = layer.weights.reshape(-1, image.channels, *sides)
    window = Window(sides, (1, 1), (0, 0, 0, 0))
    step = _convolution(graph, part, number, window, weights, layer)
    part.flat.add(layer.name)
    return step, layer.name, [*found[1], node, *layer.way]


def _convolution(
    graph: Graph, part: Part, number: int, window: Window, weights: NDArray[np.int8], layer: Weighted
) -> Conv:
    # In float32, in this order, as onnxruntime computes it.
    scale = graph.scale(part.names[number]) * layer.steps / graph.scale(layer.name)
    signs = np.sign(weights).astype(np.int8)
    return Conv(number, len(part.names), window, signs, layer.magnitude, layer.bias, scale)


def _max_pool(graph: Graph, part: Part, node: Node) -> Found | None:
    source, after = graph.source(node.input[0]), graph.requantized(node)
    if source is None or source not in part.names or after is None or len(node.output) > 1:
        return None
    name, way = after
    window = pool_of(node)
    same = graph.scale(source) == graph.scale(name) and graph.zero(source) == graph.zero(name)
    if window is None or not same:
        return None
    return MaxPool(part.names.index(source), len(part.names), window), name, [node, *way]


def _add(graph: Graph, part: Part, node: Node) -> Found | None:
    """A convolution that adds, in place of the one that made the last image; where that cannot be, a sum.

    Not of rows, to which images may be added in ways that are none of an image and another.
    """
    after, constants = graph.requantized(node), [graph.image(name) for name in node.input]
    operands = [constant or graph.source(name) for constant, name in zip(constants, node.input, strict=True)]
    shapes = {_shape(graph, part, name) if name else None for name in operands}
    rows = part.flat & set(operands)
    if after is None or len(set(operands)) < 2 or len(shapes) > 1 or None in shapes or rows:
        return None
    names = [str(name) for name in operands]
    for constant, name in zip(constants, node.input, strict=True):
        if constant and constant not in part.names:
            _join(part, constant, graph, graph.maker[name])
    return _fused(graph, part, node, names, after) or (
        Sum(part.names.index(names[0]), len(part.names), _addition(graph, part, names, 0, after[0])),
        after[0],
        [graph.maker[name] for name in node.input] + [node, *after[1]],
    )


def _shape(graph: Graph, part: Part, name: str) -> tuple[int, ...] | None:
    """(C, H, W) of an image of the part, or of a constant; None of what is neither."""
    if name in part.names:
        image = part.images[part.names.index(name)]
        return image.channels, image.height, image.width
    return tuple(graph.array(name).shape[1:]) if name in graph.constants else None


def _join(part: Part, name: str, graph: Graph, node: Node) -> None:
    """Brings a constant into the part, before what was made last, which may come to add it."""
    values, at = graph.array(name)[0], max(1, len(part.names) - 1)
    channels, height, width = values.shape
    part.images.insert(at, Image(channels, height, width, graph.zero(name)))
    part.names.insert(at, name)
    part.nodes.insert(at - 1, [node])
    part.steps.insert(at - 1, Constant(0, at, values))
    if at < len(part.steps):
        part.steps[-1] = replace(part.steps[-1], target=at + 1)


def _fused(
    graph: Graph, part: Part, node: Node, operands: list[str], after: tuple[str, list[Node]]
) -> Found | None:
    """The convolution that made the last image, with the addition, where nothing else takes its result."""
    at, step = len(part.names) - 1, part.steps[-1] if part.steps else None
    if part.names[at] not in operands or not isinstance(step, Conv) or step.addition:
        return None
    own = operands.index(part.names[at])
    if len(graph.takers[operands[own]]) > 1 or len(graph.takers[node.input[own]]) > 1:
        return None
    addition = _addition(graph, part, operands, own, after[0])
    nodes = [*part.nodes[-1], graph.maker[node.input[own]], node, *after[1]]
    for each in (part.names, part.images, part.steps, part.nodes):
        del each[-1]
    return replace(step, addition=addition), after[0], nodes


def _addition(graph: Graph, part: Part, operands: list[str], own: int, name: str) -> Addition:
    """As onnxruntime adds on x86: one product is rounded before the zero points are summed, one is not (FMA).

    Source: MlasQLinearAdd for AVX2; which product it is was found by comparing all pairs of 8 bits.
    """
    ratios = [graph.scale(each) / graph.scale(name) for each in operands]
    zeros = [graph.zero(each) for each in operands]
    second = np.longdouble(np.float32(ratios[1] * np.float32(zeros[1])))
    both = np.float32(np.longdouble(ratios[0]) * zeros[0] + second)
    fixed = np.float32(np.float32(graph.zero(name)) - both)
    other = part.names.index(operands[1 - own])
    return Addition(other, zeros[own], own == 0, ratios[own], ratios[1 - own], fixed)


KNOWN = {"Conv": _conv, "Gemm": _gemm, "MaxPool": _max_pool, "Add": _add}


def _closed(graph: Graph, part: Part) -> Part | None:
    """The longest beginning of which nothing but the last tensor is taken outside."""
    for count in range(len(part.steps), 0, -1):
        inside = {node.output[0] for nodes in part.nodes[:count] for node in nodes}
        leaving = [name for name in part.names[1 : count + 1] if _leaves(graph, name, inside)]
        if leaving == [part.names[count]]:
            made = count + 1
            begun = part.names[:made], part.images[:made], part.steps[:count], part.nodes[:count]
            return Part(*begun, part.flat)
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
