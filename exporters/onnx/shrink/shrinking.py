"""The pass: removes from an ONNX model what the mask has made dead, and changes nothing that it returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import onnx

from recycle_pipeline.exporters.onnx.shrink.constants import cut_off_a_branch
from recycle_pipeline.exporters.onnx.shrink.counting import Size, size_of
from recycle_pipeline.exporters.onnx.shrink.graph import Graph, Left
from recycle_pipeline.exporters.onnx.shrink.network import Network
from recycle_pipeline.exporters.onnx.shrink.plan import BLOCK, channels_that_stay


@dataclass(frozen=True)
class Shrunk:
    """A model and what became of it.

    Attributes:
        model: the shrunk one, or the very one that was given where there was nothing to remove.
        before, after: sizes.
        left: of weights that became smaller, by their new names, what is left of which.
    """

    model: onnx.ModelProto
    before: Size
    after: Size
    left: Mapping[str, Left] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        return self.before != self.after


def shrink(model: onnx.ModelProto, merge: bool = True, block: int = BLOCK) -> Shrunk:
    """Removes filters that are constant, channels that nothing reads and branches that are both.

    `model` is left as it is. Its inputs, outputs, metadata and the sizes of its batches stay; what it
    returns changes by the order in which a runtime sums, and by the rounding of the constants that were
    folded, which are computed in float64 and rounded once. Where an operator is not known, what it reads
    and makes stays. A model that would hold more numbers than before is returned as it was.

    Args:
        model: with its weights inside.
        merge: whether of the constant channels that a padded convolution reads one may stand for all, with
            weights of its own. Without, all weights that are left are those of `model`, ternary ones ternary,
            and a few more channels or constants stay.
        block: of channels; more than a few stay in multiples of it.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = Graph(copy)
    network = Network(graph, merge)
    before = size_of(network)
    while cut_off_a_branch(network):
        graph.clean()
        network = Network(graph, merge)
    keep = channels_that_stay(network, block)
    for step in network.steps:
        step.rewrite(keep, network.known)
    graph.clean()
    smaller = graph.finish()
    after = size_of(Network(Graph(smaller)))
    gained = after.parameters < before.parameters or after.multiply_adds < before.multiply_adds
    if not gained or after.parameters > before.parameters:
        return Shrunk(model, before, before)
    return Shrunk(smaller, before, after, graph.left)
