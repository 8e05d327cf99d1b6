"""Activations, arithmetic and batch norm: steps that keep channels apart."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import onnx

from recycle_pipeline.exporters.onnx.shrink.graph import Array, Graph, attribute
from recycle_pipeline.exporters.onnx.shrink.known import Known, Layout, Mask, Values
from recycle_pipeline.exporters.onnx.shrink.steps import Keep, Refused, SameChannels

Function = Callable[[Values], Values]


def _sigmoid(x: Values) -> Values:
    return np.asarray(1 / (1 + np.exp(-x)))


def _hard_sigmoid(x: Values, alpha: float, beta: float) -> Values:
    return np.asarray(np.clip(alpha * x + beta, 0, 1))


_erf = np.vectorize(math.erf, otypes=[np.float64])


def _gelu(x: Values, approximate: str) -> Values:
    if approximate == "tanh":
        return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))
    return np.asarray(0.5 * x * (1 + _erf(x / math.sqrt(2))))


def _unchanged(x: Values) -> Values:
    return x


# Those of which a float32 runtime has no choice of rounding.
EXACT: dict[str, Function] = {
    "Relu": lambda x: np.maximum(x, 0),
    "Sign": np.sign,
    "Neg": np.negative,
    "Abs": np.abs,
    "Identity": _unchanged,
    "Dropout": _unchanged,
}
ROUNDED: dict[str, Callable[[onnx.NodeProto], Function]] = {
    "Sigmoid": lambda node: _sigmoid,
    "Tanh": lambda node: np.tanh,
    "Softplus": lambda node: lambda x: np.logaddexp(x, 0),
    "Erf": lambda node: lambda x: np.asarray(_erf(x)),
    "HardSwish": lambda node: lambda x: x * _hard_sigmoid(x, 1 / 6, 0.5),
    "HardSigmoid": lambda node: (
        lambda x: _hard_sigmoid(x, attribute(node, "alpha", 0.2), attribute(node, "beta", 0.5))
    ),
    "LeakyRelu": lambda node: lambda x: np.where(x < 0, attribute(node, "alpha", 0.01) * x, x),
    "Elu": lambda node: (
        lambda x: np.where(x < 0, attribute(node, "alpha", 1.0) * np.expm1(np.minimum(x, 0)), x)
    ),
    "Gelu": lambda node: lambda x: _gelu(x, attribute(node, "approximate", "none")),
}


class Unary(SameChannels):
    """A function of each number."""

    def __init__(self, node: onnx.NodeProto, graph: Graph, layouts: Mapping[str, Layout]) -> None:
        super().__init__(node, graph, layouts)
        self.require_one_source()
        if len(node.output) > 1:
            raise Refused("a second output")
        self.exact = node.op_type in EXACT or node.op_type == "Clip"
        self.function = self._function()

    def _function(self) -> Function:
        kind = self.node.op_type
        if kind == "Clip":
            low, high = self._limit(1, -np.inf), self._limit(2, np.inf)
            return lambda x: np.clip(x, low, high)
        if kind == "Dropout" and len(self.node.input) > 2:  # may be in training mode
            raise Refused("training_mode")
        return EXACT[kind] if kind in EXACT else ROUNDED[kind](self.node)

    def _limit(self, index: int, default: float) -> float:
        given = index < len(self.node.input) and self.node.input[index]
        return float(self.required(str(given)).reshape(())) if given else default

    def layout(self) -> Layout:
        return self.layouts[self.source]

    def known(self, known: Mapping[str, Known]) -> Known:
        before = known[self.source]
        # The sign of a sum that rounding decides is not known.
        mask = before.exact if self.node.op_type == "Sign" else before.mask
        exact = before.exact if self.exact else np.zeros_like(mask)
        with np.errstate(over="ignore"):
            return Known.where(mask, self.function(before.maps), exact)


FUNCTIONS: dict[str, Callable[[Values, Values], Values]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Min": np.minimum,
    "Max": np.maximum,
    "PRelu": lambda x, slope: np.where(x < 0, slope * x, x),
}


class Binary(SameChannels):
    """Arithmetic of two operands, each a tensor with channels or a constant that fits beside them.

    A channel that is 0 in a product is known whatever the other factor is, as are zero weights: what is
    not finite is out of scope.
    """

    def __init__(self, node: onnx.NodeProto, graph: Graph, layouts: Mapping[str, Layout]) -> None:
        super().__init__(node, graph, layouts)
        if len(node.input) != 2 or not self.sources:
            raise Refused("not two operands")
        self.operands = [str(name) for name in node.input]
        self.made = self._result_layout([self.layouts[name] for name in self.sources])
        for name in self.operands:
            if name not in self.layouts:
                self._broadcast(self.required(name))

    def _result_layout(self, layouts: list[Layout]) -> Layout:
        first = layouts[0]
        if any(
            (x.count, x.flat, len(x.inner)) != (first.count, first.flat, len(first.inner)) for x in layouts
        ):
            raise Refused("channels do not lie alike")
        if first.flat and len({x.inner for x in layouts}) > 1:
            raise Refused("channels do not lie alike")
        return Layout(first.count, np.broadcast_shapes(*(x.inner for x in layouts)), first.flat)

    def _broadcast(self, array: Array) -> Values:
        """A constant as (C, *inner); Refused where it makes the result larger or differs by image."""
        made = self.made
        whole = (1, made.count * made.each) if made.flat else (1, made.count, *made.inner)
        try:
            spread = np.broadcast_to(array.astype(np.float64), whole)
        except ValueError as error:
            raise Refused("a constant of another shape") from error
        return spread.reshape(made.count, *made.inner)

    def layout(self) -> Layout:
        return self.made

    def known(self, known: Mapping[str, Known]) -> Known:
        a, b = (self._operand(name, known) for name in self.operands)
        mask, exact = a.mask & b.mask, np.zeros(self.made.count, bool)
        shape = (self.made.count, *self.made.inner)
        if self.node.op_type == "Mul":
            mask = mask | a.zero | b.zero
            exact = a.zero | b.zero
        elif self.node.op_type in ("Add", "Sub"):
            exact = a.exact & b.exact & (a.zero | b.zero)
        with np.errstate(divide="ignore", invalid="ignore"):
            maps = np.broadcast_to(FUNCTIONS[self.node.op_type](a.maps, b.maps), shape)
        return Known.where(mask, maps, exact)

    def _operand(self, name: str, known: Mapping[str, Known]) -> Known:
        if name in known:
            return known[name]
        every = np.ones(self.made.count, bool)
        return Known(every, self._broadcast(self.required(name)), every)

    def rewrite(self, keep: Keep, known: Mapping[str, Known]) -> None:
        channels = self.made.features(keep[self.result])
        for index, name in enumerate(self.operands):
            array = None if name in self.layouts else self.required(name)
            if array is not None:
                axis = array.ndim - self.made.rank + 1  # of the channels
                if axis >= 0 and array.shape[axis] == len(channels):
                    self.node.input[index] = self.graph.constant(array.compress(channels, axis), name)


class BatchNorm(SameChannels):
    """Inference alone: x * scale + shift per channel."""

    def __init__(self, node: onnx.NodeProto, graph: Graph, layouts: Mapping[str, Layout]) -> None:
        super().__init__(node, graph, layouts)
        self.require_one_source()
        if len(node.output) != 1 or attribute(node, "training_mode", 0) or self.layouts[self.source].flat:
            raise Refused("training mode, or flattened channels")
        self.statistics = [self.required(name) for name in node.input[1:5]]

    def layout(self) -> Layout:
        return self.layouts[self.source]

    def known(self, known: Mapping[str, Known]) -> Known:
        before = known[self.source]
        shape = (-1, *[1] * (before.maps.ndim - 1))
        scale, shift, mean, var = (s.astype(np.float64).reshape(shape) for s in self.statistics)
        factor = scale / np.sqrt(var + attribute(self.node, "epsilon", 1e-5))
        return Known.where(before.mask, (before.maps - mean) * factor + shift, np.zeros_like(before.mask))

    def rewrite(self, keep: Keep, known: Mapping[str, Known]) -> None:
        channels: Mask = keep[self.result]
        if not channels.all():
            for index, array in enumerate(self.statistics, start=1):
                name = self.node.input[index]
                self.node.input[index] = self.graph.constant(array[channels], name)
