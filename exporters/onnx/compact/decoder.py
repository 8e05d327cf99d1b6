"""Operators that unpack weights at load: standard ones, on integers until the last two at most.

A decoder unpacks the codes of several weights at once, laid end to end: a runtime takes about as long for an
operator as for a hundred thousand numbers. Then each weight is placed by itself. Numbers stay in bytes as
long as they can: what an operator gives stays in memory until all is unpacked, and touching a megabyte for
the first time takes 0.4 ms, most of the time there is. Older versions of onnxruntime (1.20) have no
arithmetic on bytes, so it is done by bits, signs and choices.
"""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from recycle_pipeline.exporters.onnx.compact import gaps, trits
from recycle_pipeline.exporters.onnx.compact.codes import ahead_and_sign, codes_of, flat
from recycle_pipeline.exporters.onnx.compact.gaps import Entries
from recycle_pipeline.exporters.onnx.compact.levels import Weight
from recycle_pipeline.exporters.onnx.compact.member import Member
from recycle_pipeline.exporters.onnx.compact.operators import Operators, Shared


def counted_from(flat: NDArray[Any]) -> int:
    """Of which place the first gap is counted: 1, and a sum of steps is a place, unless place 0 is kept."""
    return int(not flat[:1].any())


class Decoder:
    """The operators that give some weights.

    Args:
        members: the weights, all of one type.
        prefix: of the names of what lies between.
        shared: where constants go.
        way: how they are packed, for people who look at the graph.
    """

    def __init__(self, members: Sequence[Member], prefix: str, shared: Shared, way: str) -> None:
        self.members, self.way = members, way
        self.ops = Operators(prefix, shared)
        self.zeros: dict[int, str] = {}  # by how many

    def from_trits(self) -> None:
        """Signs, five to a byte, times the scales."""
        signs = np.concatenate([np.zeros(1, np.int8), *(member.signs for member in self.members)])
        packed = self.ops.own("trits", trits.packed(signs))
        table = self.ops.shared.of(trits.table() << np.int8(self.bits_up()))
        fives = self.ops.op("Gather", "fives", table, self.ops.cast("rows", packed, TensorProto.INT32))
        self.cut(flat(self.ops, fives, "signs"), signs.size - 1 + -signs.size % trits.EACH, self.scales())

    def from_gaps(self, width: int) -> None:
        """A sign beside each gap; scattered over zeros, times the scales."""
        ops, flats = self.ops, [member.signs for member in self.members]
        entries, counts = self.entries(flats, width)
        signs = np.concatenate(flats)
        negative = np.zeros(len(entries.gaps), np.uint8)
        negative[entries.kept] = signs[signs != 0] < 0
        ahead, signed = ahead_and_sign(ops, entries.ahead, negative, width)
        weight = ops.cast("weight", ahead, TensorProto.BOOL)
        ends = self.cut_ends(ahead, weight, width, counts)
        values = self.parts("sign", self.signs_of(signed), counts)
        self.place(ends, values, flats, self.scales())

    def from_bytes(self) -> None:
        """A byte for each entry, a step and a sign times 64; scattered over zeros, times scales / 64."""
        ops, flats = self.ops, [member.signs for member in self.members]
        entries, counts = self.entries(flats, gaps.BYTE_WIDTH)
        signs = np.concatenate(flats)
        packed = ops.own("packed8", entries.bytes_with(signs[signs != 0]))
        steps = ops.op("BitwiseAnd", "steps", packed, ops.small((1 << gaps.BYTE_WIDTH) - 1))
        values = ops.op("BitwiseAnd", "values", packed, ops.small(3 << gaps.BYTE_WIDTH))
        values = ops.cast("signs", values, TensorProto.INT8)
        scales = self.scales()
        parts = None if scales is None else [cast(Weight, scale / np.float32(64)) for scale in scales]
        self.place(self.ends_of(steps, counts), self.parts("sign", values, counts), flats, parts)

    def place(
        self,
        ends: Sequence[str],
        values: Sequence[str],
        flats: Sequence[NDArray[Any]],
        scales: Sequence[Weight] | None,
    ) -> None:
        """Gives each member: its values at its places, which make it like its flat array, times its scale."""
        for number, its in enumerate(zip(ends, values, flats, strict=True)):
            self.finish(number, self.placed(*its, number), scales)

    def finish(self, number: int, flat: str, scales: Sequence[Weight] | None) -> None:
        """Gives a member of what it is in one row: in its shape, times its scale."""
        member = self.members[number]
        if scales is None:
            self.give(member, "Reshape", flat, self.ops.lengths(list(member.weight.shape)))
        else:
            signs = self.shaped(member, flat, number)
            self.give(member, "Mul", *self.factors(signs, scales[number], number))

    def from_values(self, width: int) -> None:
        """Each kept weight's own value beside its gap, scattered over zeros."""
        flats = [member.weight.reshape(-1) for member in self.members]
        entries, counts = self.entries(flats, width)
        whole = np.concatenate(flats)
        values = np.zeros(len(entries.gaps), whole.dtype)
        values[entries.kept] = whole[whole != 0]
        ahead = codes_of(self.ops, entries.ahead, width)
        weight = self.ops.cast("weight", ahead, TensorProto.BOOL)
        ends = self.cut_ends(ahead, weight, width, counts)
        self.place(ends, self.parts("values", self.ops.own("value", values), counts), flats, None)

    def entries(self, flats: Sequence[NDArray[Any]], width: int) -> tuple[Entries, list[int]]:
        """Of all members; and how many of each, then of nobody."""
        found = [gaps.entries_of(np.flatnonzero(flat) - counted_from(flat), width) for flat in flats]
        counts = [len(each.gaps) for each in found]
        joined = Entries(
            *(np.concatenate(each) for each in zip(*((e.gaps, e.kept) for e in found), strict=True))
        )
        filled = joined.filled(width)
        return filled, [*counts, len(filled.gaps) - sum(counts)]

    def parts(self, name: str, whole: str, counts: Sequence[int]) -> list[str]:
        """What each member's entries have."""
        named = {f"{number}/{name}": count for number, count in enumerate(counts[:-1])}
        found = self.ops.split(whole, named | ({f"{name}/rest": counts[-1]} if counts[-1] else {}))
        return found[: len(named)]

    def cut_ends(self, ahead: str, weight: str, width: int, counts: Sequence[int]) -> list[str]:
        """Where the entries of each member lie, which are so far ahead; those of no weight lead the furthest.

        Returns:
            Of each int32, counted from 0 or 1.
        """
        ops = self.ops
        steps = ops.op("Where", "steps", weight, ahead, ops.small((1 << width) - 1))
        return self.ends_of(steps, counts)

    def ends_of(self, steps: str, counts: Sequence[int]) -> list[str]:
        """Where the entries of each member lie, by their steps: of each int32, counted from 0 or 1."""
        ops, zero = self.ops, self.ops.shared.of(np.array(0, np.int32))
        wide = [
            ops.cast(f"{number}/steps32", part, TensorProto.INT32)
            for number, part in enumerate(self.parts("steps", steps, counts))
        ]
        return [ops.op("CumSum", f"{number}/ends", each, zero) for number, each in enumerate(wide)]

    def placed(self, ends: str, values: str, flat: NDArray[Any], number: int) -> str:
        """A member's values at the places of its entries, zeros elsewhere; like `flat`."""
        ops, size = self.ops, flat.size
        if counted_from(flat) == 0:
            ends = ops.op("Sub", f"{number}/places", ends, ops.shared.of(np.array(1, np.int32)))
        if size not in self.zeros:
            zero = numpy_helper.from_array(np.zeros(1, flat.dtype))
            shape = ops.lengths([size])
            self.zeros[size] = ops.op("ConstantOfShape", f"zeros{size}", shape, value=zero)
        return ops.op("ScatterElements", f"{number}/flat", self.zeros[size], ends, values, axis=0)

    def cut(self, flat: str, size: int, scales: Sequence[Weight] | None) -> None:
        """The members, one after the other behind the first of (1 + size,); what is left over is nobody's."""
        sizes = {str(number): self.laid_out(member) for number, member in enumerate(self.members)}
        rest = size - sum(sizes.values())
        _, *parts = self.ops.split(flat, {"none": 1} | sizes | ({"rest": rest} if rest else {}))
        for number, part in enumerate(parts[: len(self.members)]):
            self.finish(number, part, scales)

    def laid_out(self, member: Member) -> int:
        """How many places a member takes."""
        return member.weight.size

    def shaped(self, member: Member, part: str, number: int) -> str:
        """A member's signs in its shape, of what it takes."""
        return self.ops.op("Reshape", f"{number}/shaped", part, self.ops.lengths(list(member.weight.shape)))

    def factors(self, signs: str, scale: Weight, number: int) -> tuple[str, str]:
        shared = self.ops.shared
        size = self.ops.own(f"{number}/scale", scale) if scale.size > 1 else shared.of(scale)
        return self.ops.cast(f"{number}/signs", signs, TensorProto.FLOAT), size

    def scales(self) -> list[Weight] | None:
        """What signs are multiplied by; None for int8, whose signs are moved up."""
        if self.members[0].weight.dtype == np.int8:
            return None
        return [member.levels.scale for member in self.members if member.levels is not None]

    def bits_up(self) -> int:
        """How many bits signs are moved up: 0 but for int8, of a magnitude that is a power of two."""
        return self.members[0].bits_up

    def signs_of(self, signed: str) -> str:
        """-1, 0 or 1, moved up, of uint8 that are negative, 0 or positive as int8; int8.

        No byte overflows when it is moved up, so that runtimes that compute in wider numbers are right too.
        """
        ops, bits = self.ops, self.bits_up()
        signs = ops.op("Sign", "signs", ops.cast("signed8", signed, TensorProto.INT8))
        if not bits:
            return signs
        below = ops.cast("signs/bits", signs, TensorProto.UINT8)
        below = ops.op("BitwiseAnd", "signs/low", below, ops.small((1 << 8 - bits) - 1))
        up = ops.shifted("signs/up", below, ops.small(bits), "LEFT")
        return ops.cast("signs8", up, TensorProto.INT8)

    def give(self, member: Member, kind: str, *inputs: str) -> None:
        """The operator that gives a weight."""
        node = helper.make_node(kind, list(inputs), [member.name], name=f"unpack {member.name}")
        kept = np.count_nonzero(member.weight)
        node.doc_string = f"{kept} of {member.weight.size} weights kept, as {self.way}"
        self.ops.nodes.append(node)
