"""How large a graph is: parameters, multiply-adds and filters."""

from dataclasses import dataclass

import numpy as np

from recycle_pipeline.exporters.onnx.shrink.convolution import Conv
from recycle_pipeline.exporters.onnx.shrink.network import Network
from recycle_pipeline.exporters.onnx.shrink.steps import Keep
from recycle_pipeline.exporters.onnx.shrink.weighted import Weighted


@dataclass(frozen=True)
class Size:
    """What a model takes.

    Attributes:
        parameters: numbers of floating point that the file holds.
        multiply_adds: of convolutions and linear layers with constant weights, for one image.
        filters: output channels of all convolutions.
    """

    parameters: int
    multiply_adds: int
    filters: int


def size_of(network: Network) -> Size:
    """Of a graph as it is."""
    graph, everything = network.graph, {n: np.ones(x.count, bool) for n, x in network.layouts.items()}
    stored = [graph.array(i.name) for i in graph.proto.initializer]
    return Size(
        sum(a.size for a in stored if a is not None and a.dtype.kind == "f"),
        multiply_adds(network, everything),
        sum(step.made.count for step in network.steps if isinstance(step, Conv)),
    )


def multiply_adds(network: Network, keep: Keep) -> int:
    """For one image, of the channels that stay."""
    return sum(step.multiply_adds(keep) for step in _weighted(network))


def weights(network: Network, keep: Keep) -> int:
    """Numbers in the weights of the channels that stay."""
    return sum(step.parameters(keep) for step in _weighted(network))


def _weighted(network: Network) -> list[Weighted]:
    return [step for step in network.steps if isinstance(step, Weighted)]
