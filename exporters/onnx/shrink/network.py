"""A graph as steps over channels: what is known of each tensor, and which channels decide the result."""

from collections.abc import Callable, Mapping

import numpy as np
import onnx

from recycle_pipeline.exporters.onnx.shrink.convolution import Conv
from recycle_pipeline.exporters.onnx.shrink.elementwise import (
    EXACT,
    FUNCTIONS,
    ROUNDED,
    BatchNorm,
    Binary,
    Unary,
)
from recycle_pipeline.exporters.onnx.shrink.graph import Graph
from recycle_pipeline.exporters.onnx.shrink.known import Known, Layout, Mask
from recycle_pipeline.exporters.onnx.shrink.linear import Linear
from recycle_pipeline.exporters.onnx.shrink.pooling import Pad, Pool, Reduce
from recycle_pipeline.exporters.onnx.shrink.shapes import Concat, Relaid
from recycle_pipeline.exporters.onnx.shrink.steps import Keep, Refused, Step
from recycle_pipeline.exporters.onnx.shrink.weighted import Weighted

Maker = Callable[[onnx.NodeProto, Graph, Mapping[str, Layout]], Step]

STEPS: dict[str, Maker] = {
    "Conv": Conv,
    "Gemm": Linear,
    "MatMul": Linear,
    "BatchNormalization": BatchNorm,
    "MaxPool": Pool,
    "AveragePool": Pool,
    "GlobalAveragePool": Reduce,
    "GlobalMaxPool": Reduce,
    "ReduceMean": Reduce,
    "ReduceMax": Reduce,
    "Pad": Pad,
    "Reshape": Relaid,
    "Flatten": Relaid,
    "Squeeze": Relaid,
    "Unsqueeze": Relaid,
    "Concat": Concat,
    **dict.fromkeys(FUNCTIONS, Binary),
    **dict.fromkeys((*EXACT, *ROUNDED, "Clip"), Unary),
}


class Network:
    """The steps of a graph, in order, and what follows from its weights.

    Attributes:
        steps: one for each node.
        layouts: of the tensors that have channels; the others stay as they are.
        known: of the same tensors.
        needed: (C,) of the same tensors: the channels that decide what the graph returns.
    """

    def __init__(self, graph: Graph, merge: bool = True) -> None:
        """`merge`: whether one constant channel may stand for others, see `shrink`."""
        self.graph = graph
        self.layouts: dict[str, Layout] = {}
        for name in graph.inputs:
            self._add(name, self._usual(name))
        self.steps = [self._step(node) for node in graph.nodes]
        for step in self.steps:
            if isinstance(step, Weighted):
                step.can_carry = step.can_carry and merge
        self.known = self._find_known()
        self.needed = self._find_needed()

    def _add(self, name: str, layout: Layout | None) -> bool:
        if layout is not None:
            self.layouts[name] = layout
        return layout is not None

    def _usual(self, name: str) -> Layout | None:
        """(batch, count, *inner), where all but the batch is known."""
        count, *inner = self.graph.shapes.get(name, ())[1:] or (None,)
        if not count or not all(inner):
            return None
        return Layout(count, tuple(size for size in inner if size))

    def _step(self, node: onnx.NodeProto) -> Step:
        maker = STEPS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if maker and any(name in self.layouts for name in node.input):
            try:
                step = maker(node, self.graph, self.layouts)
            except Refused:
                pass
            else:
                if self._add(step.result, step.layout()):
                    return self._with_layouts(step, [step.result])
        results = [name for name in node.output if name and self._add(name, self._usual(name))]
        return self._with_layouts(Step(node, self.graph, self.layouts), results)

    def _with_layouts(self, step: Step, results: list[str]) -> Step:
        step.results = results
        step.layouts = {name: self.layouts[name] for name in (*step.sources, *results)}
        return step

    def _find_known(self) -> dict[str, Known]:
        known = {
            name: Known.nothing(self.layouts[name]) for name in self.graph.inputs if name in self.layouts
        }
        for step in self.steps:
            for name in step.results:
                known[name] = step.known(known) if name == step.result else Known.nothing(self.layouts[name])
        return known

    def _find_needed(self) -> dict[str, Mask]:
        needed = {name: np.zeros(layout.count, bool) for name, layout in self.layouts.items()}
        for name in self.graph.outputs:
            if name in needed:
                needed[name] |= True
        for step in reversed(self.steps):
            wanted = needed[step.result] & ~self.known[step.result].mask if step.results else np.ones(0, bool)
            for name, mask in step.needed(wanted, self.known).items():
                needed[name] |= mask
        return needed

    def least(self) -> Keep:
        """The channels that must stay: the least that all steps agree on."""
        keep = {name: self.needed[name] & ~self.known[name].mask for name in self.layouts}
        for name in (*self.graph.inputs, *self.graph.outputs):
            if name in keep:
                keep[name] |= True
        return self.settled(keep)

    def settled(self, keep: Keep) -> Keep:
        """`keep` with all that must stay because of it; no tensor is left without a channel."""
        keep = {name: mask.copy() for name, mask in keep.items()}
        for mask in keep.values():
            if not mask.any():
                mask[0] = True
        while True:
            before = sum(int(mask.sum()) for mask in keep.values())
            for step in self.steps:
                step.tie(keep)
            if sum(int(mask.sum()) for mask in keep.values()) == before:
                return keep
