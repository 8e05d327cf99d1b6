"""Operators that unpack a weight at load: standard ones, on integers until the last two at most."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from recycle_pipeline.exporters.onnx.compact import gaps, trits
from recycle_pipeline.exporters.onnx.compact.gaps import Entries
from recycle_pipeline.exporters.onnx.compact.levels import Levels, Weight

Array = NDArray[Any]


class Shared:
    """Small constants that decoders of several weights read, by name."""

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


class Decoder:
    """The operators of one weight.

    Args:
        name: of the weight, which the last operator gives.
        prefix: of the names of what lies between; short, for a file has each several times.
        shape: the weight's.
        shared: where constants go.

    Attributes:
        nodes: in order.
    """

    def __init__(self, name: str, prefix: str, shape: tuple[int, ...], shared: Shared) -> None:
        self._name, self._prefix, self._shape, self._shared = name, prefix, shape, shared
        self._size = int(np.prod(shape))
        self.nodes: list[onnx.NodeProto] = []

    def from_trits(self, levels: Levels) -> None:
        """signs, five to a byte, times the scale."""
        rows = self._op("Cast", "rows", self._own("trits", trits.packed(levels.signs)), to=TensorProto.INT32)
        signs = self._flat(self._op("Gather", "fives", self._shared.of(trits.table()), rows), "all")
        if self._size % trits.EACH:
            signs = self._first(signs, self._size, "signs")
        self._scaled(self._shaped(signs), levels.scale)

    def from_gaps(self, levels: Levels, entries: Entries, width: int) -> None:
        """A sign beside each gap; scattered over zeros, times the scale."""
        kept = levels.signs.reshape(-1)
        positive = np.zeros(len(entries.gaps), np.uint8)
        positive[entries.kept] = kept[kept != 0] > 0
        codes = self._codes(entries.gaps | positive << np.uint8(width), width + 1)
        gap = self._op("BitwiseAnd", "gap", codes, self._small((1 << width) - 1))
        weight = self._is_weight(gap, width)
        above = self._op("Less", "negative", codes, self._small(1 << width))
        negative = self._op("Cast", "negative8", above, to=TensorProto.INT8)
        one = self._op("Cast", "weight8", weight, to=TensorProto.INT8)
        # 1 where positive, -1 where negative, 0 where no weight, whatever its sign.
        twice = self._op("Add", "twice", negative, negative)
        signs = self._op("Sub", "signs", one, self._op("Mul", "minus", twice, one))
        self._scaled(self._scattered(self._places(gap, weight), signs, np.int8), levels.scale)

    def from_values(self, weight: Weight, entries: Entries, width: int) -> None:
        """Each kept weight's own value beside its gap, scattered over zeros."""
        values = np.zeros(len(entries.gaps), weight.dtype)
        flat = weight.reshape(-1)
        values[entries.kept] = flat[flat != 0]
        gap = self._codes(entries.gaps, width)
        places = self._places(gap, self._is_weight(gap, width))
        self._scattered(places, self._own("values", values), weight.dtype.type)
        self.nodes[-1].output[0] = self._name

    def _codes(self, codes: NDArray[np.uint8], bits: int) -> str:
        """The codes, (n,) uint8, put together from their planes."""
        whole, at = "", 0
        for width, plane in zip(gaps.plane_widths(bits), gaps.planes_of(codes, bits), strict=True):
            part = self._plane(plane, width, len(codes))
            if at:
                lifted = self._op("BitShift", f"lifted{at}", part, self._small(at), direction="LEFT")
                part = self._op("BitwiseOr", f"codes{at}", whole, lifted)
            whole, at = part, at + width
        return whole

    def _plane(self, plane: NDArray[np.uint8], width: int, count: int) -> str:
        each = 8 // width
        if each == 1:
            return self._own("packed8", plane)
        packed = self._own(f"packed{width}", plane[:, None])
        shifts = self._shared.of(np.arange(each, dtype=np.uint8) * np.uint8(width))
        shifted = self._op("BitShift", f"shifted{width}", packed, shifts, direction="RIGHT")
        part = self._op("BitwiseAnd", f"part{width}", shifted, self._small((1 << width) - 1))
        part = self._flat(part, f"plane{width}")
        return self._first(part, count, f"entries{width}") if count % each else part

    def _is_weight(self, gap: str, width: int) -> str:
        return self._op("Less", "weight", gap, self._small((1 << width) - 1))

    def _places(self, gap: str, weight: str) -> str:
        """The places that gaps lead to, (entries,) int32."""
        steps = self._op("Cast", "steps", weight, to=TensorProto.INT32)
        ahead = self._op("Add", "ahead", self._op("Cast", "gap32", gap, to=TensorProto.INT32), steps)
        ends = self._op("CumSum", "ends", ahead, self._shared.of(np.array(0, np.int32)))
        return self._op("Sub", "places", ends, self._shared.of(np.array(1, np.int32)))

    def _scattered(self, places: str, values: str, kind: type) -> str:
        """Values at their places, zeros elsewhere, in the weight's shape."""
        size = self._shared.of(np.array([self._size], np.int64))
        zero = numpy_helper.from_array(np.zeros(1, kind))
        zeros = self._op("ConstantOfShape", "zeros", size, value=zero)
        return self._shaped(self._op("ScatterElements", "scattered", zeros, places, values, axis=0))

    def _scaled(self, signs: str, scale: Weight) -> None:
        if scale.dtype != np.int8:
            signs = self._op("Cast", "signs32", signs, to=TensorProto.FLOAT)
        self._op("Mul", "", signs, self._own("scale", scale) if scale.size > 1 else self._shared.of(scale))

    def _shaped(self, flat: str) -> str:
        return self._op("Reshape", "shaped", flat, self._shared.of(np.array(self._shape, np.int64)))

    def _flat(self, rows: str, name: str) -> str:
        return self._op("Reshape", name, rows, self._shared.of(np.array([-1], np.int64)))

    def _first(self, values: str, count: int, name: str) -> str:
        start, end = (self._shared.of(np.array([place], np.int64)) for place in (0, count))
        return self._op("Slice", name, values, start, end)

    def _small(self, value: int) -> str:
        return self._shared.of(np.array(value, np.uint8))

    def _own(self, name: str, value: Array) -> str:
        return self._shared.new(f"{self._prefix}/{name}", value)

    def _op(self, kind: str, name: str, *inputs: str, **attributes: Any) -> str:
        """Adds an operator; without a name, the one that gives the weight."""
        output = f"{self._prefix}/{name}" if name else self._name
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output
