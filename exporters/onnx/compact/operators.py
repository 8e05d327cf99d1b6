"""Constants and operators of a graph that grows, by name."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Array = NDArray[Any]


class Shared:
    """Small constants that decoders read, by name."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._taken = {item.name for item in graph.initializer}
        self._made: dict[tuple[str, bytes, tuple[int, ...]], str] = {}

    def of(self, value: Array) -> str:
        """The name of a constant that holds it."""
        key = value.dtype.str, value.tobytes(), value.shape
        if key not in self._made:
            self._made[key] = self.new(f"unpack/constant{len(self._made)}", value)
        return self._made[key]

    def new(self, name: str, value: Array) -> str:
        """Adds an initializer; its name is changed where another has it."""
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        self._graph.initializer.append(numpy_helper.from_array(value, name))
        return name


class Operators:
    """Operators that follow each other.

    Args:
        prefix: of the names of what they give; short, for a file has each several times.
        shared: where constants go.

    Attributes:
        nodes: in order.
    """

    def __init__(self, prefix: str, shared: Shared) -> None:
        self.prefix, self.shared = prefix, shared
        self.nodes: list[onnx.NodeProto] = []

    def op(self, kind: str, name: str, *inputs: str, **attributes: Any) -> str:
        """Adds an operator; returns the name of what it gives."""
        output = f"{self.prefix}/{name}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def split(self, whole: str, lengths: dict[str, int]) -> list[str]:
        """Cuts (n,) into parts of these lengths, by the names they get."""
        outputs = [f"{self.prefix}/{name}" for name in lengths]
        sizes = self.lengths(list(lengths.values()))
        self.nodes.append(helper.make_node("Split", [whole, sizes], outputs, name=outputs[0], axis=0))
        return outputs

    def own(self, name: str, value: Array) -> str:
        """A constant of these operators alone."""
        return self.shared.new(f"{self.prefix}/{name}", value)

    def small(self, value: int) -> str:
        """One uint8."""
        return self.shared.of(np.array(value, np.uint8))

    def lengths(self, values: list[int]) -> str:
        """A shape, or parts of one."""
        return self.shared.of(np.array(values, np.int64))

    def cast(self, name: str, value: str, to: int) -> str:
        return self.op("Cast", name, value, to=to)

    def shifted(self, name: str, value: str, by: str, direction: str) -> str:
        return self.op("BitShift", name, value, by, direction=direction)
