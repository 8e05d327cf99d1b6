"""Pools, means over a channel, and padding: steps that keep channels apart and change their size."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import onnx

from recycle_pipeline.exporters.onnx.shrink.graph import Graph, attribute
from recycle_pipeline.exporters.onnx.shrink.known import Known, Layout, Values
from recycle_pipeline.exporters.onnx.shrink.steps import Refused, SameChannels
from recycle_pipeline.exporters.onnx.shrink.windows import Windows


class _Spatial(SameChannels):
    """One source, not flattened, whose result has the inferred shape."""

    def __init__(self, node: onnx.NodeProto, graph: Graph, layouts: Mapping[str, Layout]) -> None:
        super().__init__(node, graph, layouts)
        self.require_one_source()
        self.before = self.layouts[self.source]
        made = graph.shapes.get(self.result, ())
        inner = tuple(size for size in made[2:] if size is not None)
        if self.before.flat or len(node.output) != 1 or len(made) < 2 or len(inner) != len(made) - 2:
            raise Refused("flattened channels, indices, or a size that is not known")
        if made[1] != self.before.count:
            raise Refused("the channels change")
        self.made = Layout(self.before.count, inner)

    def layout(self) -> Layout:
        return self.made


class Pool(_Spatial):
    """MaxPool and AveragePool, padding and rounded-up sizes included."""

    def __init__(self, node: onnx.NodeProto, graph: Graph, layouts: Mapping[str, Layout]) -> None:
        super().__init__(node, graph, layouts)
        self.windows = Windows.of(node, tuple(attribute(node, "kernel_shape", [])))

    def known(self, known: Mapping[str, Known]) -> Known:
        before = known[self.source]
        if not before.nonzero.any():
            return Known(before.mask, np.zeros((self.made.count, *self.made.inner)), before.exact)
        windows, inner = self.windows, self.made.inner
        if self.node.op_type == "MaxPool":
            return Known.where(
                before.mask, _folded(windows, before.maps, inner, -np.inf, np.max), before.exact
            )
        summed = _folded(windows, before.maps, inner, 0.0, np.sum)
        return Known.where(before.mask, summed / self._sizes(), before.zero & before.exact)

    def _sizes(self) -> Values:
        """(1, *inner): how many numbers each window averages."""
        ones, windows = np.ones((1, *self.before.inner)), self.windows
        if attribute(self.node, "count_include_pad", 0):
            ones = np.pad(
                ones, [(0, 0), *zip(windows.before, windows.after, strict=True)], constant_values=1.0
            )
            nothing = (0,) * len(windows.kernel)
            windows = replace(windows, before=nothing, after=nothing)
        return _folded(windows, ones, self.made.inner, 0.0, np.sum)


def _folded(
    windows: Windows, maps: Values, out: tuple[int, ...], fill: float, by: Callable[..., Values]
) -> Values:
    """(C, *out): each window of (C, *inner) as one number."""
    seen = windows.over(maps, out, fill)
    return np.asarray(by(seen, axis=tuple(range(1 + len(out), seen.ndim))))


class Reduce(_Spatial):
    """GlobalAveragePool, GlobalMaxPool, ReduceMean, ReduceMax over axes behind the channels."""

    def __init__(self, node: onnx.NodeProto, graph: Graph, layouts: Mapping[str, Layout]) -> None:
        super().__init__(node, graph, layouts)
        self.axes = self._axes()
        if min(self.axes, default=0) < 2:
            raise Refused("reduces over channels or images")

    def _axes(self) -> tuple[int, ...]:
        rank = self.before.rank
        if self.node.op_type.startswith("Global"):
            return tuple(range(2, rank))
        if len(self.node.input) < 2 or not self.node.input[1]:
            raise Refused("axes not said")
        return tuple(int(axis) % rank for axis in self.required(self.node.input[1]).reshape(-1))

    def known(self, known: Mapping[str, Known]) -> Known:
        before, axes = known[self.source], tuple(axis - 1 for axis in self.axes)
        largest = self.node.op_type.endswith(("Max", "MaxPool"))
        maps = before.maps.max(axes) if largest else before.maps.mean(axes)
        exact = before.exact if largest else before.exact & before.zero
        return Known.where(before.mask, maps.reshape(self.made.count, *self.made.inner), exact)


class Pad(_Spatial):
    """Padding of the axes behind the channels by a constant."""

    def __init__(self, node: onnx.NodeProto, graph: Graph, layouts: Mapping[str, Layout]) -> None:
        super().__init__(node, graph, layouts)
        given = [name for name in node.input[2:] if name]
        if attribute(node, "mode", "constant") != "constant" or len(node.input) > 3:
            raise Refused("not padded by a constant")
        pads = self.required(node.input[1]).reshape(2, -1)
        if pads.shape[1] != self.before.rank or pads[:, :2].any() or pads.min() < 0:
            raise Refused("pads channels or images, or cuts")
        self.pads = [(int(a), int(b)) for a, b in pads.T[2:]]
        self.fill = float(self.required(given[0]).reshape(())) if given else 0.0

    def known(self, known: Mapping[str, Known]) -> Known:
        before = known[self.source]
        maps = np.pad(before.maps, [(0, 0), *self.pads], constant_values=self.fill)
        return Known.where(before.mask, maps, before.exact)
