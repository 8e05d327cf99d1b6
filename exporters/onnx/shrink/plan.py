"""Which channels stay: those that must, those cheaper to keep than to do without, and full blocks of them."""

import numpy as np

from recycle_pipeline.exporters.onnx.shrink.counting import multiply_adds, weights
from recycle_pipeline.exporters.onnx.shrink.network import Network
from recycle_pipeline.exporters.onnx.shrink.steps import Keep
from recycle_pipeline.exporters.onnx.shrink.weighted import Weighted

# What adding a map costs beside multiply-adds of a convolution: by number, and by node.
ADDITION, NODE = 8, 100_000

# ONNX Runtime's fast convolutions on the CPU read a multiple of 4 channels, or fewer than a block of 8 or
# 16; others take a slower path. ResNet-18 with one filter less: 6 % slower; with 99 % removed over all
# layers, batch 16: 8.4 ms without this, 6.5 with (benchmarks/shrink.py --any-count).
BLOCK, SMALLEST = 4, 8


def channels_that_stay(network: Network, block: int = BLOCK) -> Keep:
    """The channels that `Step.rewrite` leaves, by tensor; more than `SMALLEST` in multiples of `block`.

    A constant channel that a padded convolution reads adds another number at the borders. Either it stays,
    or one that stays stands for it, or what it adds becomes a map that is added to the result: what costs
    least, but never a map that holds more numbers than the weights it saves.
    """
    keep, readers = network.least(), [step for step in network.steps if isinstance(step, Weighted)]
    while True:
        for step in readers:
            stay = step.instead_of_a_map(keep, network.known)
            if stay.any():
                larger = network.settled(keep | {step.source: keep[step.source] | stay})
                if _pays(step, keep, larger, network):
                    keep = larger
                    break
        else:
            return _in_blocks(keep, network, block)


def _pays(step: Weighted, keep: Keep, larger: Keep, network: Network) -> bool:
    """Whether the larger network computes less, or stores less, than a map behind `step` would take."""
    numbers = int(keep[step.result].sum()) * step.made.each
    computed = multiply_adds(network, larger) - multiply_adds(network, keep)
    stored = weights(network, larger) - weights(network, keep)
    return computed <= ADDITION * numbers + NODE or stored <= numbers


def _in_blocks(keep: Keep, network: Network, block: int) -> Keep:
    """Lets a few channels stay that need not, so that numbers of channels are multiples of `block`."""
    for name in network.layouts:
        count = int(keep[name].sum())
        missing = -count % block if count > SMALLEST else 0
        spare = np.flatnonzero(~keep[name])[:missing]
        if spare.size:
            mask = keep[name].copy()
            mask[spare] = True
            keep = network.settled(keep | {name: mask})
    return keep
