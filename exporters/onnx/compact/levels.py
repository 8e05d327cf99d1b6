"""A weight as zeros, signs and one magnitude for each index along an axis, where it is of that kind."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Weight = NDArray[np.float32] | NDArray[np.int8]


@dataclass(frozen=True)
class Levels:
    """weight = signs * scale, to the bit but for the sign of zeros.

    Attributes:
        signs: int8 of the weight's shape: -1, 0, 1.
        scale: of the weight's type, broadcast over it: its size along one axis, or 1 everywhere.
    """

    signs: NDArray[np.int8]
    scale: Weight


def levels_of(weight: Weight) -> Levels | None:
    """None where kept weights have more than one magnitude along every axis.

    A subnetwork's weights have one for the layer; a batch norm folded into them makes that one for each
    output channel, the first axis of a convolution and either of a linear layer.

    Args:
        weight: finite, of at least one dimension.
    """
    if weight.dtype == np.int8 and weight.min(initial=0) == -128:
        return None  # its magnitude is no int8
    magnitude = np.abs(weight)
    signs = np.sign(weight).astype(np.int8)
    for axis in range(weight.ndim):
        others = tuple(i for i in range(weight.ndim) if i != axis)
        scale = magnitude.max(others, keepdims=True, initial=0)
        if np.array_equal(np.where(signs, scale, 0), magnitude):
            return Levels(signs, _joined(scale))
    return None


def _joined(scale: Weight) -> Weight:
    """A single number where all that are used are equal."""
    used = np.unique(scale[scale > 0])
    return scale if len(used) > 1 else np.full([1] * scale.ndim, used[0] if len(used) else 0, scale.dtype)
