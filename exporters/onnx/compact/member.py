"""A weight that a decoder gives."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.onnx.compact.drawn import Drawn
from recycle_pipeline.exporters.onnx.compact.gaps import BYTE_WIDTH
from recycle_pipeline.exporters.onnx.compact.levels import Levels, Weight


@dataclass(frozen=True)
class Member:
    """Of the graph.

    Attributes:
        name: of it in the graph.
        weight: what it is.
        levels: the same as signs and magnitudes, where it is of that kind.
        drawn: where its signs were drawn, if that is known.
    """

    name: str
    weight: Weight
    levels: Levels | None
    drawn: Drawn | None = None

    @property
    def signs(self) -> NDArray[np.int8]:
        """(n,), of a weight with levels."""
        assert self.levels is not None
        return self.levels.signs.reshape(-1)

    @property
    def bits_up(self) -> int:
        """Of int8 with levels: how many bits signs are moved up to be the weight; else 0."""
        if self.levels is None or self.weight.dtype != np.int8:
            return 0
        return max(0, int(self.levels.scale.max()).bit_length() - 1)

    @property
    def ternary(self) -> bool:
        """Whether it is packed as signs: with levels, and of int8 those of one magnitude, a power of two."""
        if self.levels is None or self.weight.dtype != np.int8:
            return self.levels is not None
        scale = self.levels.scale
        return scale.size == 1 and int(scale.max()) in (0, 1 << self.bits_up)

    @property
    def quarters(self) -> bool:
        """Whether it is 64 and -64 times something of its type, to the bit."""
        if self.levels is None:
            return False
        scale = self.levels.scale
        if self.weight.dtype == np.int8:
            return self.ternary and self.bits_up == BYTE_WIDTH
        return bool(np.array_equal(scale / 64 * 64, scale))
