"""Signs that the seed gives: drawn within the graph by the project's own generator, but for flipped ones.

The generator is `models.draws`': a 64-bit hash of a key and a weight's place, whose highest bit is the sign.
It takes multiplications, additions, shifts and exclusive ors of uint64, all of which ONNX has.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from recycle_pipeline.exporters.onnx.compact import gaps
from recycle_pipeline.exporters.onnx.compact.decoder import Decoder
from recycle_pipeline.exporters.onnx.compact.gaps import Entries
from recycle_pipeline.exporters.onnx.compact.levels import Levels, Weight
from recycle_pipeline.models.draws import GOLDEN, MIX_1, MIX_2, signs_at

WRAP = (1 << 64) - 1


@dataclass(frozen=True)
class Seeded:
    """How a weight's signs follow from a stream.

    Attributes:
        key: of the stream.
        flipped: (kept,) bool, whose sign is another than the stream's, times that of the scale.
        scale: as `Levels.scale`, negative where most signs along the axis are the other way round: a batch
            norm with a negative gamma was folded in.
    """

    key: int
    flipped: NDArray[np.bool_]
    scale: Weight


def seeded(levels: Levels, key: int) -> Seeded:
    """The signs of kept weights against those of a stream at their places."""
    places = np.flatnonzero(levels.signs)
    flipped = (levels.signs.reshape(-1)[places] < 0) ^ signs_at(key, places)
    # The number in `scale` that each kept weight is multiplied by.
    along = np.broadcast_to(np.arange(levels.scale.size).reshape(levels.scale.shape), levels.signs.shape)
    group = along.reshape(-1)[places]
    others = np.bincount(group, flipped, levels.scale.size) > np.bincount(group, None, levels.scale.size) / 2
    turn = np.where(others, -1, 1).reshape(levels.scale.shape)
    return Seeded(
        key, flipped ^ others[group], cast(Weight, (levels.scale * turn).astype(levels.scale.dtype))
    )


def flips_among(entries: Entries, flipped: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The numbers of the entries whose weight is flipped."""
    return np.flatnonzero(entries.kept)[flipped]


class SeededDecoder(Decoder):
    """A decoder whose signs are drawn."""

    def from_seed(self, found: Seeded, entries: Entries, width: int, flip_width: int) -> None:
        """Gaps alone; of flips gaps too, over the entries.

        Args:
            found: the signs.
            entries: of the kept weights.
            width: of their gaps.
            flip_width: of those of the flips.
        """
        gap = self._codes(entries.gaps, width)
        weight = self._is_weight(gap, width)
        places = self._places(gap, weight)
        one = self._op("Cast", "weight8", weight, to=TensorProto.INT8)
        signs = self._op("Mul", "signs", self._signs(self._drawn(places, found.key)), one)
        flips = flips_among(entries, found.flipped)
        if len(flips):
            inner = SeededDecoder(
                f"{self._prefix}/flips", f"{self._prefix}f", entries.gaps.shape, self._shared
            )
            inner._marks(gaps.entries_of(flips, flip_width), flip_width)
            self.nodes += inner.nodes
            signs = self._op("Mul", "flipped", signs, self._signs(f"{self._prefix}/flips", "turned"))
        self._scaled(self._scattered(places, signs, np.int8), found.scale)

    def _marks(self, entries: Entries, width: int) -> None:
        """1 where there is an entry, else 0; int8."""
        gap = self._codes(entries.gaps, width)
        weight = self._is_weight(gap, width)
        marks = self._op("Cast", "marks", weight, to=TensorProto.INT8)
        self._scattered(self._places(gap, weight), marks, np.int8)
        self.nodes[-1].output[0] = self._name

    def _signs(self, negative: str, name: str = "drawn") -> str:
        """-1 for 1 and 1 for 0, int8."""
        twice = self._op("Add", f"{name}2", negative, negative)
        return self._op("Sub", name, self._shared.of(np.array(1, np.int8)), twice)

    def _drawn(self, places: str, key: int) -> str:
        """1 where the stream's number is negative at a place, else 0; int8."""
        z = self._op("Cast", "places64", places, to=TensorProto.UINT64)
        z = self._op("Mul", "counted", z, self._word(GOLDEN))
        z = self._op("Add", "keyed", z, self._own("key", np.array(key + GOLDEN & WRAP, np.uint64)))
        for shift, factor in ((30, MIX_1), (27, MIX_2)):
            shifted = self._op("BitShift", f"shift{shift}", z, self._word(shift), direction="RIGHT")
            mixed = self._op("BitwiseXor", f"xor{shift}", z, shifted)
            z = self._op("Mul", f"mix{shift}", mixed, self._word(factor))
        highest = self._op("BitShift", "highest", z, self._word(63), direction="RIGHT")
        return self._op("Cast", "negative", highest, to=TensorProto.INT8)

    def _word(self, value: int) -> str:
        return self._shared.of(np.array(value, np.uint64))
