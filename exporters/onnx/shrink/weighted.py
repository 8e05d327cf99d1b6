"""What convolutions and linear layers share: weights that read some channels and make others."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from recycle_pipeline.exporters.onnx.shrink.graph import Array, Graph
from recycle_pipeline.exporters.onnx.shrink.known import Known, Layout, Mask, Values, per_channel, uniform
from recycle_pipeline.exporters.onnx.shrink.steps import Keep, Step

# A carrier much smaller than what it carries for would have to have weights that float32 rounds badly.
CARRIES = 1e-3


@dataclass(frozen=True)
class Fold:
    """How the known channels that go live on in the weights of what read them.

    Attributes:
        bias: (outputs,), to add per output channel.
        carrier: a channel that stays, known and uniform; -1 for none.
        share: (inputs,), the value of each channel that the carrier stands for, over the carrier's own.
        map: (outputs, *inner), to add to the result; None where `bias` and `carrier` say it all.
    """

    bias: Values
    carrier: int = -1
    share: Values | None = None
    map: Values | None = None


class Weighted(Step, ABC):
    """A step with constant weights. Subclasses set what is below.

    Attributes:
        weight: as stored.
        made: layout of the result.
        read: (outputs, inputs), whether an output's weights for an input channel are not all 0.
        can_carry: whether one channel can stand for others.
    """

    weight: Array
    made: Layout
    read: Mask
    can_carry = False

    def __init__(self, node: onnx.NodeProto, graph: Graph, layouts: Mapping[str, Layout]) -> None:
        super().__init__(node, graph, layouts)
        self.name: str = node.input[1]  # of the weight

    @property
    def source(self) -> str:
        return self.sources[0]

    def layout(self) -> Layout:
        return self.made

    def needed(self, wanted: Mask, known: Mapping[str, Known]) -> dict[str, Mask]:
        return {self.source: np.asarray(self.read[wanted].any(0))}

    def tie(self, keep: Keep) -> None:
        """What goes in has nothing to do with what comes out."""

    @abstractmethod
    def multiply_adds(self, keep: Keep) -> int:
        """For one image, of the channels that stay."""

    @abstractmethod
    def parameters(self, keep: Keep) -> int:
        """Numbers in the weights of the channels that stay."""

    @abstractmethod
    def contribution(self, maps: Values) -> Values:
        """What channels of these maps (inputs, *inner) add to the result: (outputs, *inner)."""

    @abstractmethod
    def bias(self) -> Array | None:
        """(outputs,); None where there is none."""

    def known(self, known: Mapping[str, Known]) -> Known:
        before = known[self.source]
        mask = ~np.asarray((self.read & ~before.mask).any(1))  # (outputs,)
        adds = np.asarray((self.read & before.nonzero).any(1))
        shape = (self.made.count, *self.made.inner)
        maps = self.contribution(before.maps) if (adds & mask).any() else np.zeros(shape)
        bias = self.bias()
        if bias is not None:
            maps = maps + bias.astype(np.float64).reshape(-1, *[1] * len(self.made.inner))
        return Known.where(mask, maps, mask & ~adds)

    @abstractmethod
    def set_bias(self, name: str) -> None:
        """Makes the node add the constant `name`, (outputs that stay,)."""

    def write_bias(self, extra: Values, outputs: Mask) -> None:
        """Adds `extra`, (outputs,), in float64 and rounded once, and drops what does not stay."""
        bias = self.bias()
        if bias is None and not extra[outputs].any():
            return
        if bias is not None and outputs.all() and not extra.any():
            return
        whole = extra if bias is None else bias.astype(np.float64) + extra
        array = whole[outputs].astype(self.weight.dtype)
        self.set_bias(self.graph.constant(array, f"{self.name}.bias"))

    def add_behind(self, maps: Values, outputs: Mask) -> None:
        """Adds constant maps, (outputs, *inner), to the result by a node of their own."""
        array = maps[outputs][None].astype(self.weight.dtype)
        self.graph.add_behind(self.node, self.graph.constant(array, f"{self.name}.map"))

    def fold(self, keep: Keep, known: Mapping[str, Known]) -> Fold:
        """How to do without the known channels of the source that go."""
        before, outputs = known[self.source], keep[self.result]
        gone = self._gone(keep, before)
        whole = self.contribution(np.where(_shaped(gone, before.maps), before.maps, 0.0))
        whole[~outputs] = 0.0
        bias: Values = per_channel(whole)[:, 0].copy()
        if uniform(whole).all():
            return Fold(bias)
        carrier = self._carrier(keep[self.source], gone, before)
        if carrier < 0 or (gone & ~before.uniform).any():
            return Fold(np.zeros_like(bias), map=whole)
        values = per_channel(before.maps)[:, 0]
        return Fold(np.zeros_like(bias), carrier, np.where(gone, values / values[carrier], 0.0))

    def instead_of_a_map(self, keep: Keep, known: Mapping[str, Known]) -> Mask:
        """(inputs,), channels of the source that would have to stay for `fold` to need no map."""
        before, stays = known[self.source], keep[self.source]
        if self.fold(keep, known).map is None:
            return np.zeros_like(stays)
        gone = self._gone(keep, before)
        if not self.can_carry:
            return gone
        alike = gone & before.uniform
        stay: Mask = gone & ~before.uniform
        if alike.any() and self._carrier(stays, alike, before) < 0:
            stay[np.argmax(np.where(alike, _largest(before), -1.0))] = True
        return stay

    def _gone(self, keep: Keep, before: Known) -> Mask:
        """(inputs,), what does not stay although something that stays reads it, and is not 0."""
        return np.asarray(before.nonzero & ~keep[self.source] & self.read[keep[self.result]].any(0))

    def _carrier(self, stays: Mask, gone: Mask, before: Known) -> int:
        """A channel that stays and can stand for those that go; -1 where there is none."""
        fit = stays & before.uniform & before.nonzero
        if not self.can_carry or not fit.any():
            return -1
        sizes = _largest(before)
        best = int(np.argmax(np.where(fit, sizes, -1.0)))
        return best if sizes[best] >= CARRIES * sizes[gone].max(initial=0.0) else -1


def _largest(known: Known) -> Values:
    """(C,), the largest magnitude in each channel."""
    return np.asarray(np.abs(per_channel(known.maps)).max(1))


def _shaped(mask: Mask, maps: Values) -> Mask:
    return mask.reshape(-1, *[1] * (maps.ndim - 1))
