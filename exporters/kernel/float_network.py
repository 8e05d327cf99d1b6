"""Which part of a float32 ONNX graph the compiled kernels compute, as the steps that they know."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import onnx
from numpy.typing import NDArray

from recycle_pipeline.exporters.kernel.graph import LARGEST_WINDOW, Graph, Node, pool_of, spread, window_of
from recycle_pipeline.exporters.kernel.packed import Image, Window, holds
from recycle_pipeline.exporters.kernel.packed_floats import (
    FloatConstant,
    FloatConv,
    FloatPool,
    FloatStep,
    FloatSum,
)
from recycle_pipeline.exporters.kernel.weighted import is_plain_gemm, lays_flat

PIXELWISE = {"Cast", "Sub", "Add", "Div", "Mul"}


@dataclass
class FloatPart:
    """A part of the graph: from its input to another tensor.

    Attributes:
        images: what tensors hold, by name, the input first.
        steps: that make them, in order, but for the input.
        nodes: of the graph, that each step stands for.
        flat: tensors that are one row of each image in the graph: what linear layers make.
    """

    images: dict[str, Image]
    steps: list[FloatStep] = field(default_factory=list)
    nodes: list[list[Node]] = field(default_factory=list)
    flat: set[str] = field(default_factory=set)

    def add(self, step: FloatStep, image: Image, nodes: list[Node]) -> None:
        if not holds(image):
            return
        self.images[step.target] = image
        self.steps.append(step)
        self.nodes.append(nodes)

    def beginning(self, count: int) -> "FloatPart":
        """The part of its first steps, without constants that none of them adds."""
        kept = self.steps[:count]
        used = {step.source for step in kept if not isinstance(step, FloatConstant)}
        used |= {str(step.other) for step in kept if isinstance(step, FloatConv | FloatSum)}
        chosen = [i for i, s in enumerate(kept) if not isinstance(s, FloatConstant) or s.target in used]
        names = [next(iter(self.images)), *(kept[i].target for i in chosen)]
        images = {name: self.images[name] for name in names}
        return FloatPart(images, [kept[i] for i in chosen], [self.nodes[i] for i in chosen], self.flat)


def float_part(model: onnx.ModelProto, shape: tuple[int, int, int]) -> FloatPart | None:
    """The longest part from the input on that ends in one tensor; None if there is none with a convolution.

    Args:
        model: float32, batch norm folded.
        shape: of its input: channels, height, width.
    """
    graph = Graph(model.graph)
    entry = _entry(graph, model.graph.input[0].name)
    if not holds(Image(*shape, 0)):
        return None
    part = FloatPart({entry: Image(*shape, 0)})
    for node in model.graph.node:
        if node.op_type in KNOWN:
            KNOWN[node.op_type](graph, part, node)
    for count in range(len(part.steps), 0, -1):
        begun = part.beginning(count)
        inside = {name for nodes in begun.nodes for node in nodes for name in node.output}
        leaving = [step.target for step in begun.steps if _leaves(graph, step.target, inside)]
        if not begun.steps or leaving != [begun.steps[-1].target]:
            continue
        return begun if any(isinstance(step, FloatConv) for step in begun.steps) else None
    return None


def _entry(graph: Graph, given: str) -> str:
    """The float32 images that the first convolution takes, where they are the given ones, pixel by pixel.

    A model that has its preprocessing inside (`--embed-preprocessing`) casts, scales and shifts them first.
    """
    conv = next((node for nodes in graph.takers.values() for node in nodes if node.op_type == "Conv"), None)
    name = conv.input[0] if conv is not None else given
    found = name
    while name != given:
        node = graph.maker.get(name)
        computed = [] if node is None else [each for each in node.input if each not in graph.constants]
        if node is None or node.op_type not in PIXELWISE or len(computed) != 1:
            return given
        name = computed[0]
    return found


def _leaves(graph: Graph, name: str, inside: set[str]) -> bool:
    if name in graph.constants:
        return False
    return name in graph.results or any(taker.output[0] not in inside for taker in graph.takers[name])


def _conv(graph: Graph, part: FloatPart, node: Node) -> None:
    weights, bias = _weights(graph, node)
    image = part.images.get(node.input[0])
    window = window_of(node, weights.shape[2:]) if weights is not None and weights.ndim == 4 else None
    if weights is None or bias is None or image is None or window is None:
        return
    made, whole = _made(image, window, len(weights)), spread(node, weights)
    if whole.shape[1] == image.channels and made is not None:
        name, relu, way = _after(graph, node)
        step = FloatConv(node.input[0], name, window, whole, bias, relu=relu)
        part.add(step, made, [node, *way])


def _gemm(graph: Graph, part: FloatPart, node: Node) -> None:
    """A linear layer: a convolution whose window is the whole image, laid flat before or of one pixel."""
    weights, bias = _weights(graph, node)
    source, nodes = node.input[0], [node]
    shape = graph.maker.get(source)
    if source not in part.images and shape is not None and lays_flat(graph, shape):
        if len(graph.takers[source]) > 1 or source in graph.results:
            return
        source, nodes = shape.input[0], [shape, node]
    image = part.images.get(source)
    if weights is None or bias is None or image is None or not is_plain_gemm(node):
        return
    sides = image.height, image.width
    if max(sides) > LARGEST_WINDOW or weights.shape[1] != image.channels * image.height * image.width:
        return
    name, relu, way = _after(graph, node)
    window, shaped = Window(sides, (1, 1), (0, 0, 0, 0)), weights.reshape(-1, image.channels, *sides)
    step = FloatConv(source, name, window, shaped, bias, relu=relu)
    part.flat.add(name)
    part.add(step, Image(len(weights), 1, 1, 0), [*nodes, *way])


def _max_pool(graph: Graph, part: FloatPart, node: Node) -> None:
    image, window = part.images.get(node.input[0]), pool_of(node)
    if image is None or len(node.output) > 1:
        return
    made = _made(image, window, image.channels) if window else None
    if window is not None and made is not None:
        part.add(FloatPool(node.input[0], node.output[0], window), made, [node])


def _add(graph: Graph, part: FloatPart, node: Node) -> None:
    """A convolution that adds, in place of the one that was made last, or else a sum; not of rows."""
    for name in node.input:
        _join(graph, part, name)
    known = all(name in part.images and name not in part.flat for name in node.input)
    if len(set(node.input)) < 2 or not known:
        return
    first, second = (part.images[name] for name in node.input)
    if first != second:
        return
    name, relu, way = _after(graph, node)
    last = part.steps[-1] if part.steps else None
    free = isinstance(last, FloatConv) and not last.relu and last.other is None
    if isinstance(last, FloatConv) and free and _alone(graph, last.target, node):
        other = next(each for each in node.input if each != last.target)
        nodes = part.nodes.pop()
        del part.images[part.steps.pop().target]
        part.add(replace(last, target=name, other=other, relu=relu), first, [*nodes, node, *way])
        return
    part.add(FloatSum(node.input[0], name, node.input[1], relu), first, [node, *way])


def _alone(graph: Graph, name: str, node: Node) -> bool:
    """Whether a node and nothing else takes a tensor."""
    return name in node.input and len(graph.takers[name]) == 1 and name not in graph.results


def _join(graph: Graph, part: FloatPart, name: str) -> None:
    """Brings a constant image (1, C, H, W) into the part, before all else."""
    if name in part.images or name not in graph.constants:
        return
    values = graph.array(name)
    if values.ndim != 4 or len(values) != 1 or values.dtype != np.float32:
        return
    given = next(iter(part.images))
    images = {given: part.images[given], name: Image(values.shape[1], values.shape[2], values.shape[3], 0)}
    part.images = images | part.images
    part.steps.insert(0, FloatConstant(given, name, values[0]))
    part.nodes.insert(0, [])


KNOWN: dict[str, Callable[[Graph, FloatPart, Node], None]] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MaxPool": _max_pool,
    "Add": _add,
}


def _weights(graph: Graph, node: Node) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
    """Weights and bias of a layer, which is zeros where it has none; None where they are computed."""
    names = [name for name in node.input[1:] if name]
    if not names or any(name not in graph.constants for name in names):
        return None, None
    weights = graph.array(names[0])
    bias = graph.array(names[1]).reshape(-1) if len(names) > 1 else np.zeros(len(weights), np.float32)
    right = weights.dtype == bias.dtype == np.float32 and bias.shape == weights.shape[:1]
    finite = right and np.isfinite(weights).all() and np.isfinite(bias).all()
    return (weights, bias) if finite else (None, None)


def _after(graph: Graph, node: Node) -> tuple[str, bool, list[Node]]:
    """The tensor that a node's result becomes, by a ReLU if that alone takes it, which then is given, too."""
    name = node.output[0]
    takers = graph.takers[name]
    if len(takers) == 1 and takers[0].op_type == "Relu" and name not in graph.results:
        return takers[0].output[0], True, [takers[0]]
    return name, False, []


def _made(image: Image, window: Window, channels: int) -> Image | None:
    """What a window gives of an image; None where it is larger than that."""
    sides = [
        (side + window.pads[i] + window.pads[i + 2] - window.size[i]) // window.strides[i] + 1
        for i, side in enumerate((image.height, image.width))
    ]
    return Image(channels, sides[0], sides[1], 0) if min(sides) > 0 else None
