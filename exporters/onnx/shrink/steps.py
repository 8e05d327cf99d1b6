"""What shrinking must know of an operator: one step for each node of a graph."""

from collections.abc import Mapping

import numpy as np
import onnx

from recycle_pipeline.exporters.onnx.shrink.graph import Array, Graph, captured
from recycle_pipeline.exporters.onnx.shrink.known import Known, Layout, Mask

Keep = dict[str, Mask]  # (C,) by tensor: the channels that stay


class Refused(Exception):
    """A node is not of the kind that a step understands; it and its tensors stay as they are."""


class Step:
    """One node, and what it says of the channels (axis 1) of the tensors around it.

    This base is an operator nobody knows: all that it reads is needed, nothing of it is known, and no
    channel of its tensors goes.

    Attributes:
        node: the node.
        sources: the tensors it reads that have channels; one read twice is there twice.
        results: those it makes that have channels.
        layouts: of the sources and results.
    """

    def __init__(self, node: onnx.NodeProto, graph: Graph, layouts: Mapping[str, Layout]) -> None:
        self.node = node
        self.graph = graph
        self.sources: list[str] = [name for name in (*node.input, *sorted(captured(node))) if name in layouts]
        self.results: list[str] = []
        self.layouts = dict(layouts)

    @property
    def result(self) -> str:
        name: str = self.node.output[0]
        return name

    def layout(self) -> Layout | None:
        """Of the result, where the step can say; else its inferred shape does."""
        return None

    def known(self, known: Mapping[str, Known]) -> Known:
        """What is known of the result. `known` is of all tensors before."""
        return Known.nothing(self.layouts[self.result])

    def needed(self, wanted: Mask, known: Mapping[str, Known]) -> dict[str, Mask]:
        """The channels of each source that decide the `wanted` ones of the result."""
        return {name: np.ones(self.layouts[name].count, bool) for name in self.sources}

    def tie(self, keep: Keep) -> None:
        """Adds the channels that must stay because others do."""
        for name in (*self.sources, *self.results):
            keep[name] |= True

    def rewrite(self, keep: Keep, known: Mapping[str, Known]) -> None:
        """Makes the node one of the channels that stay."""

    def required(self, name: str) -> Array:
        """A constant that the step cannot do without."""
        array = self.graph.array(name)
        if array is None:
            raise Refused(f"{name} is not constant")
        return array


class SameChannels(Step):
    """Channel k of the result is made of channel k of each source: activations, sums, pools."""

    def needed(self, wanted: Mask, known: Mapping[str, Known]) -> dict[str, Mask]:
        return dict.fromkeys(self.sources, wanted)

    def tie(self, keep: Keep) -> None:
        names = (*self.sources, self.result)
        together = np.logical_or.reduce([keep[name] for name in names])
        for name in names:
            keep[name] |= together

    @property
    def source(self) -> str:
        return self.sources[0]

    def require_one_source(self) -> None:
        """Raises Refused unless the first input alone has channels."""
        if len(self.sources) != 1 or self.node.input[0] != self.source:
            raise Refused("more than one input has channels")
