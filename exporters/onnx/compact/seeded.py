"""Signs that the seed gives: drawn within the graph by the project's own generator, but for flipped ones.

The generator is `models.draws`': a 64-bit hash of a key and a weight's place, whose highest bit is the sign.
It takes multiplications, additions, shifts and exclusive ors of uint64, all of which ONNX has. Weights are
unpacked in the shape in which they were drawn; of one that was shrunk, Gather takes what is left.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from recycle_pipeline.exporters.onnx.compact import gaps
from recycle_pipeline.exporters.onnx.compact.codes import codes_of
from recycle_pipeline.exporters.onnx.compact.decoder import Decoder
from recycle_pipeline.exporters.onnx.compact.drawn import Drawn
from recycle_pipeline.exporters.onnx.compact.gaps import Entries
from recycle_pipeline.exporters.onnx.compact.levels import Levels, Weight
from recycle_pipeline.exporters.onnx.compact.member import Member
from recycle_pipeline.models.draws import GOLDEN, MIX_1, MIX_2, signs_at

WRAP = (1 << 64) - 1
GOLDEN_INVERSE = pow(GOLDEN, -1, 1 << 64)


@dataclass(frozen=True)
class Seeded:
    """How a weight's signs follow from a stream.

    Attributes:
        places: (kept,), where they were drawn.
        flipped: (kept,) bool, whose sign is another than the stream's, times that of the scale.
        scale: as `Levels.scale`, negative where most signs along the axis are the other way round: a batch
            norm with a negative gamma was folded in.
    """

    places: NDArray[np.intp]
    flipped: NDArray[np.bool_]
    scale: Weight


def seeded(levels: Levels, drawn: Drawn) -> Seeded:
    """The signs of kept weights against those of a stream at the places where they were drawn."""
    places = np.flatnonzero(drawn.laid_out(levels.signs))
    signs = levels.signs.reshape(-1)
    kept = np.flatnonzero(signs)  # in the same order: rows and columns rise
    flipped = (signs[kept] < 0) ^ signs_at(drawn.key, places)
    # The number in `scale` that each kept weight is multiplied by.
    along = np.broadcast_to(np.arange(levels.scale.size).reshape(levels.scale.shape), levels.signs.shape)
    group = along.reshape(-1)[kept]
    others = np.bincount(group, flipped, levels.scale.size) > np.bincount(group, None, levels.scale.size) / 2
    turn = np.where(others, -1, 1).reshape(levels.scale.shape)
    scale = cast(Weight, (levels.scale * turn).astype(levels.scale.dtype))
    return Seeded(places, flipped ^ others[group], scale)


def flips_among(entries: Entries, flipped: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The numbers of the entries whose weight is flipped."""
    return np.flatnonzero(entries.kept)[flipped]


class SeededDecoder(Decoder):
    """A decoder whose signs are drawn."""

    def from_seed(self, width: int) -> None:
        """Gaps of so many bits alone; of flipped signs gaps too, over the entries."""
        ops, found = self.ops, [seeded(*_known(member)) for member in self.members]
        starts = np.cumsum([0, *(self.laid_out(member) for member in self.members)])
        places = np.concatenate([each.places + start for each, start in zip(found, starts, strict=False)])
        entries = gaps.entries_of(places, width).filled(width)
        ends, weight = self.gaps(entries, width)
        last = np.flatnonzero(entries.kept)[np.cumsum([len(each.places) for each in found]) - 1] + 1
        lengths = np.diff([0, *last[:-1], len(entries.gaps)])
        negative = self._drawn(ends, starts, lengths)
        flips = flips_among(entries, np.concatenate([each.flipped for each in found]))
        if len(flips):
            negative = ops.op("BitwiseXor", "turned", negative, self._marks(flips, len(entries.gaps)))
        one = ops.cast("weight8", weight, TensorProto.UINT8)
        signs = self._signs(ops.op("BitwiseAnd", "negative", negative, one), one)
        size = max(int(starts[-1]), entries.reach)
        self.cut(self.scattered(ends, signs, np.int8, size), size, [each.scale for each in found])

    def _signs(self, negative: str, one: str) -> str:
        """-1, 0 or 1, int8, of 1 or 0 for negative weights and for weights; -1 | 1 is -1."""
        ops = self.ops
        below = ops.op("Neg", "below", ops.cast("negative8", negative, TensorProto.INT8))
        return ops.op("BitwiseOr", "signs", below, ops.cast("one", one, TensorProto.INT8))

    def gaps(self, entries: Entries, width: int) -> tuple[str, str]:
        """The places that gaps lead to, counted from 1, int32; and whether entries are a weight, bool."""
        ahead = codes_of(self.ops, entries.ahead, width)
        weight = self.ops.cast("weight", ahead, TensorProto.BOOL)
        return self.ends(ahead, weight, width), weight

    def ends(self, ahead: str, weight: str, width: int) -> str:
        """The places, counted from 1, of entries so far ahead; those of no weight lead the furthest."""
        steps = self.ops.op("Where", "steps", weight, ahead, self.ops.small((1 << width) - 1))
        steps = self.ops.cast("steps32", steps, TensorProto.INT32)
        return self.ops.op("CumSum", "ends", steps, self.ops.shared.of(np.array(0, np.int32)))

    def scattered(self, ends: str, values: str, kind: type, size: int) -> str:
        """Values at their places, counted from 1, zeros elsewhere: (1 + size,)."""
        zero = numpy_helper.from_array(np.zeros(1, kind))
        zeros = self.ops.op("ConstantOfShape", "zeros", self.ops.lengths([1 + size]), value=zero)
        return self.ops.op("ScatterElements", "scattered", zeros, ends, values, axis=0)

    def _marks(self, flips: NDArray[np.intp], count: int) -> str:
        """1 for these entries, else 0; (count,) uint8."""
        inner = SeededDecoder((), f"{self.ops.prefix}/f", self.ops.shared, "")
        width, _ = gaps.narrowest(flips)
        entries = gaps.entries_of(flips, width).filled(width)
        ends, weight = inner.gaps(entries, width)
        one = inner.ops.cast("one", weight, TensorProto.UINT8)
        size = max(count, entries.reach)
        marks = inner.scattered(ends, one, np.uint8, size)
        rest = {"rest": size - count} if size > count else {}
        _, found, *_ = inner.ops.split(marks, {"none": 1, "marks": count} | rest)
        self.ops.nodes += inner.ops.nodes
        return found

    def _drawn(self, ends: str, starts: NDArray[np.intp], lengths: NDArray[np.intp]) -> str:
        """1 where the streams' numbers are negative at the places, else 0; uint8.

        Args:
            ends: the places counted from 1, over all members laid end to end.
            starts: (members + 1,), where each begins.
            lengths: of the members, in entries.
        """
        ops = self.ops
        z = ops.op("Mul", "keyed", self._counted(ends, starts, lengths), self._word(GOLDEN))
        for shift, factor in ((30, MIX_1), (27, MIX_2)):
            shifted = ops.shifted(f"shift{shift}", z, self._word(shift), "RIGHT")
            mixed = ops.op("BitwiseXor", f"xor{shift}", z, shifted)
            z = ops.op("Mul", f"mix{shift}", mixed, self._word(factor))
        return ops.cast("drawn", ops.shifted("highest", z, self._word(63), "RIGHT"), TensorProto.UINT8)

    def _counted(self, ends: str, starts: NDArray[np.intp], lengths: NDArray[np.intp]) -> str:
        """What times `GOLDEN` is the key of a member's stream plus the place in it, from 1, times `GOLDEN`.

        So the key is added divided by `GOLDEN`, modulo 2**64: this way members are cut apart in 32 bits.
        """
        ops = self.ops
        keys = [
            np.array(_known(member)[1].key * GOLDEN_INVERSE - int(start) & WRAP, np.uint64)
            for member, start in zip(self.members, starts, strict=False)
        ]
        parts = [ends]
        if len(keys) > 1:
            parts = ops.split(ends, {f"ends{number}": int(each) for number, each in enumerate(lengths)})
        counted = [
            ops.op(
                "Add",
                f"counted{number}",
                ops.cast(f"long{number}", part, TensorProto.UINT64),
                ops.own(f"key{number}", key),
            )
            for number, (part, key) in enumerate(zip(parts, keys, strict=True))
        ]
        return ops.op("Concat", "counted", *counted, axis=0) if len(keys) > 1 else counted[0]

    def shaped(self, member: Member, part: str, number: int) -> str:
        drawn = _known(member)[1]
        signs = self.ops.op("Reshape", f"{number}/drawn", part, self.ops.lengths(list(drawn.shape)))
        for axis, left in enumerate((drawn.rows, drawn.columns)):
            if left is not None:
                signs = self.ops.op(
                    "Gather", f"{number}/left{axis}", signs, self.ops.shared.of(left), axis=axis
                )
        return signs

    def laid_out(self, member: Member) -> int:
        return _known(member)[1].size

    def _word(self, value: int) -> str:
        return self.ops.shared.of(np.array(value, np.uint64))


def _known(member: Member) -> tuple[Levels, Drawn]:
    assert member.levels is not None and member.drawn is not None
    return member.levels, member.drawn
