"""Flatten, Reshape, Squeeze, Unsqueeze and Concat: steps that lay channels out anew."""

from collections.abc import Mapping

import numpy as np
import onnx

from recycle_pipeline.exporters.onnx.shrink.graph import Graph, Shape, attribute
from recycle_pipeline.exporters.onnx.shrink.known import Known, Layout, Mask
from recycle_pipeline.exporters.onnx.shrink.steps import Keep, Refused, SameChannels, Step


class Relaid(SameChannels):
    """The same numbers in the same order, channels still behind the images."""

    def __init__(self, node: onnx.NodeProto, graph: Graph, layouts: Mapping[str, Layout]) -> None:
        super().__init__(node, graph, layouts)
        self.require_one_source()
        self.before = self.layouts[self.source]
        self._check_images_stay_apart()
        self.made = self._made(graph.shapes.get(self.result, ()))

    def _check_images_stay_apart(self) -> None:
        kind, node = self.node.op_type, self.node
        if kind == "Flatten" and attribute(node, "axis", 1) != 1:
            raise Refused("axis")
        if kind in ("Squeeze", "Unsqueeze"):
            if len(node.input) < 2 or self.before.flat:
                raise Refused("axes not said, or flattened channels")
            rank = len(self.graph.shapes.get(self.result, ())) if kind == "Unsqueeze" else self.before.rank
            if any(int(axis) % rank < 2 for axis in self.required(node.input[1]).reshape(-1)):
                raise Refused("axes of images or channels")
        if kind == "Reshape":
            self.shape = [int(size) for size in self.required(node.input[1])]
            free = self.shape[:1] == [-1] or (self.shape[:1] == [0] and not attribute(node, "allowzero", 0))
            if not free or 0 in self.shape[1:]:
                raise Refused("images do not stay apart")

    def _made(self, shape: Shape) -> Layout:
        count, inner = self.before.count, tuple(size for size in shape[2:] if size is not None)
        if len(shape) < 2 or len(inner) != len(shape) - 2:
            raise Refused("a size is not known")
        if shape[1] == count and int(np.prod(inner, dtype=np.int64)) == self.before.each:
            return Layout(count, inner)
        if len(shape) == 2 and shape[1] == count * self.before.each:
            return Layout(count, (self.before.each,), flat=True)
        raise Refused("the channels do not stay in one piece")

    def layout(self) -> Layout:
        return self.made

    def known(self, known: Mapping[str, Known]) -> Known:
        before = known[self.source]
        return Known(before.mask, before.maps.reshape(self.made.count, *self.made.inner), before.exact)

    def rewrite(self, keep: Keep, known: Mapping[str, Known]) -> None:
        channels = keep[self.result]
        if self.node.op_type != "Reshape" or channels.all() or self.shape[1] == -1:
            return
        sizes = [self.shape[0], int(self.made.features(channels).sum()), *self.shape[2:]]
        name = self.node.input[1]
        self.node.input[1] = self.graph.constant(np.array(sizes, np.int64), name)


class Concat(Step):
    """Channels of several tensors, one after the other."""

    def __init__(self, node: onnx.NodeProto, graph: Graph, layouts: Mapping[str, Layout]) -> None:
        super().__init__(node, graph, layouts)
        parts = [layouts[name] for name in self.sources]
        if len(self.sources) != len(node.input) or len({(x.inner, x.flat) for x in parts}) != 1:
            raise Refused("not all have channels that lie alike")
        if attribute(node, "axis", 0) not in (1, 1 - parts[0].rank):
            raise Refused("another axis")
        self.made = Layout(sum(part.count for part in parts), parts[0].inner, parts[0].flat)
        self.ends = np.cumsum([part.count for part in parts])[:-1]

    def layout(self) -> Layout:
        return self.made

    def known(self, known: Mapping[str, Known]) -> Known:
        parts = [known[name] for name in self.sources]
        masks, maps, exact = zip(*((p.mask, p.maps, p.exact) for p in parts), strict=True)
        return Known(np.concatenate(masks), np.concatenate(maps), np.concatenate(exact))

    def needed(self, wanted: Mask, known: Mapping[str, Known]) -> dict[str, Mask]:
        needed: dict[str, Mask] = {}
        for name, part in zip(self.sources, np.split(wanted, self.ends), strict=True):
            needed[name] = part | needed.get(name, False)
        return needed

    def tie(self, keep: Keep) -> None:
        for name, part in zip(self.sources, np.split(keep[self.result], self.ends), strict=True):
            part |= keep[name]  # a view: the result's mask
            keep[name] |= part
