"""Convolutions, with groups or without."""

from collections.abc import Mapping

import numpy as np
import onnx

from recycle_pipeline.exporters.onnx.shrink.graph import Array, Graph, Left, set_attribute
from recycle_pipeline.exporters.onnx.shrink.graph import attribute as attribute_of
from recycle_pipeline.exporters.onnx.shrink.known import Known, Layout, Mask, Values
from recycle_pipeline.exporters.onnx.shrink.steps import Keep, Refused
from recycle_pipeline.exporters.onnx.shrink.weighted import Fold, Weighted
from recycle_pipeline.exporters.onnx.shrink.windows import Windows


class Conv(Weighted):
    """A convolution whose weight is constant.

    All groups of a convolution are of one size, so of those that stay each keeps as many channels as the
    fullest, and a group goes where all of its channels do, those it reads and those it makes.
    """

    def __init__(self, node: onnx.NodeProto, graph: Graph, layouts: Mapping[str, Layout]) -> None:
        super().__init__(node, graph, layouts)
        self.weight = self.required(self.name)  # (outputs, inputs / groups, *kernel)
        self.groups: int = attribute_of(node, "group", 1)
        before, outputs = layouts[self.source], len(self.weight)
        if (
            self.sources != [node.input[0]]
            or before.flat
            or before.count != self.weight.shape[1] * self.groups
        ):
            raise Refused("the weight does not fit the input")
        if self._bias_name:
            self.required(self._bias_name)
        made = graph.shapes.get(self.result, ())
        inner = tuple(size for size in made[2:] if size is not None)
        if len(made) != self.weight.ndim or len(inner) != len(before.inner):
            raise Refused("a size is not known")
        self.made = Layout(outputs, inner)
        self.windows = Windows.of(node, self.weight.shape[2:])
        self.can_carry = self.groups == 1
        self.read = self._read()

    def _read(self) -> Mask:
        used = np.asarray(
            self.weight.reshape(*self.weight.shape[:2], -1).any(2)
        )  # (outputs, inputs / groups)
        read = np.zeros((self.groups, len(used) // self.groups, self.groups, used.shape[1]), np.bool_)
        for group, part in enumerate(np.split(used, self.groups)):
            read[group, :, group] = part
        return read.reshape(len(used), -1)

    @property
    def _bias_name(self) -> str:
        return self.node.input[2] if len(self.node.input) > 2 else ""

    def bias(self) -> Array | None:
        return self.required(self._bias_name) if self._bias_name else None

    def contribution(self, maps: Values) -> Values:
        weight = self.weight.astype(np.float64)
        used = maps.reshape(len(maps), -1).any(1)
        if self.groups == 1:  # most channels are 0
            maps, weight = maps[used], weight[:, used]
        if not used.any():
            return np.zeros((self.made.count, *self.made.inner))
        axes = len(self.made.inner)
        seen = self.windows.over(maps, self.made.inner, 0.0)  # (inputs, *inner, *kernel)
        seen = np.moveaxis(seen, range(1 + axes, 1 + 2 * axes), range(1, 1 + axes))
        columns = seen.reshape(self.groups, -1, self.made.each)  # (groups, inputs / groups * kernel, places)
        rows = weight.reshape(self.groups, len(weight) // self.groups, -1)
        return np.asarray(rows @ columns).reshape(self.made.count, *self.made.inner)

    def tie(self, keep: Keep) -> None:
        if self.groups == 1:
            return
        inside, outside = (keep[name].reshape(self.groups, -1) for name in (self.source, self.result))
        stay = np.flatnonzero(inside.any(1) | outside.any(1))
        for masks in (inside, outside):
            most = max(1, int(masks.sum(1).max()))
            for group in stay:
                row = masks[group]  # a view of what `keep` holds
                row[np.flatnonzero(~row)[: most - int(row.sum())]] = True

    def parameters(self, keep: Keep) -> int:
        groups = len(self._groups(keep))
        kernel = int(np.prod(self.weight.shape[2:], dtype=np.int64))
        return int(keep[self.source].sum()) * int(keep[self.result].sum()) // max(1, groups) * kernel

    def multiply_adds(self, keep: Keep) -> int:
        return self.parameters(keep) * self.made.each

    def rewrite(self, keep: Keep, known: Mapping[str, Known]) -> None:
        fold = self.fold(keep, known)
        if not keep[self.source].all() or not keep[self.result].all():
            self._write_weight(keep, fold)
        self.write_bias(fold.bias, keep[self.result])
        if fold.map is not None:
            self.add_behind(fold.map, keep[self.result])

    def _write_weight(self, keep: Keep, fold: Fold) -> None:
        weight = self.weight
        if fold.share is not None:
            carried = np.tensordot(weight.astype(np.float64), fold.share, (1, 0))  # (outputs, *kernel)
            weight = weight.copy()
            weight[:, fold.carrier] = weight[:, fold.carrier] + carried
        groups = self._groups(keep)
        weight = weight.reshape(self.groups, -1, *weight.shape[1:])
        inside, outside = (keep[name].reshape(self.groups, -1) for name in (self.source, self.result))
        parts = [weight[g][outside[g]][:, inside[g]] for g in groups]
        self.node.input[1] = self.graph.constant(np.concatenate(parts), self.name)
        if len(groups) != self.groups:
            set_attribute(self.node, "group", len(groups))
        if self.groups == 1:
            left = Left.of(self.name, keep[self.result], keep[self.source])
            self.graph.left[self.node.input[1]] = left

    def _groups(self, keep: Keep) -> list[int]:
        """Those of which anything stays."""
        return [int(g) for g in np.flatnonzero(keep[self.result].reshape(self.groups, -1).any(1))]

    def set_bias(self, name: str) -> None:
        del self.node.input[2:]
        self.node.input.append(name)
