"""How the kept weights are shared among layers that are ranked alone.

A uniform share starves small layers: at 90 % removed the first convolution of Conv2, 1,728 weights, keeps
173, while its largest layer keeps 419,430 of the 430,100 in all. Two rules give small layers more:

    uniform  every layer has the same density, as published by edge-popup and Biprop
    erk      density in proportion to the sum of the shape's entries over their product: the
             Erdos-Renyi-Kernel of sparse training (Mocanu et al. 2018; Evci et al. 2020)
    root     density in proportion to one over the root of the layer's size, so that the number kept grows
             with the root

Where a rule would give more than `DENSEST`, it gives that and the others share the rest. Half is where a
layer has the most subnetworks to choose from; a layer kept whole would stay at its random draw.
"""

import math
from collections.abc import Sequence
from typing import Literal, get_args

Allocation = Literal["uniform", "erk", "root"]
ALLOCATIONS: tuple[Allocation, ...] = get_args(Allocation)
DENSEST = 0.5


def prune_rates(shapes: Sequence[tuple[int, ...]], prune: float, rule: Allocation) -> list[float]:
    """The fraction removed of each layer, for `prune` over all of them.

    Args:
        shapes: of the layers' weights.
        prune: fraction removed over all, 0 < prune < 1; up to `1 - DENSEST` every rule is uniform.
        rule: see the module.
    """
    if rule == "uniform" or prune <= 1.0 - DENSEST:
        return [prune] * len(shapes)
    sizes = [math.prod(shape) for shape in shapes]
    wish = [
        sum(shape) / size if rule == "erk" else size**-0.5 for shape, size in zip(shapes, sizes, strict=True)
    ]
    density = [0.0] * len(shapes)
    open_, left = set(range(len(shapes))), (1.0 - prune) * sum(sizes)
    while open_:
        factor = left / sum(wish[i] * sizes[i] for i in open_)
        full = {i for i in open_ if factor * wish[i] >= DENSEST}
        for i in full or open_:
            density[i] = min(DENSEST, factor * wish[i])
        left -= sum(DENSEST * sizes[i] for i in full)
        open_ = open_ - full if full else set()
    return [1.0 - each for each in density]
