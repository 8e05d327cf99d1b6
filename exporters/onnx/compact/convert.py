"""A dense-equivalent model to a compact one: weights packed in the smallest ways, or left as they are."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from recycle_pipeline.exporters.onnx.compact.decoder import Decoder
from recycle_pipeline.exporters.onnx.compact.drawn import Drawn
from recycle_pipeline.exporters.onnx.compact.levels import levels_of
from recycle_pipeline.exporters.onnx.compact.member import Member
from recycle_pipeline.exporters.onnx.compact.operators import Shared
from recycle_pipeline.exporters.onnx.compact.order import largest_first
from recycle_pipeline.exporters.onnx.compact.packings import Packing, chosen, costs_of, within_memory
from recycle_pipeline.exporters.onnx.compact.seeded import SeededDecoder
from recycle_pipeline.exporters.onnx.compact.spare_time import with_spare_time_used

# Operators, and which input is a weight; what is dequantized may be one of int8.
WEIGHT_OF = {"Conv": 1, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1, "DequantizeLinear": 0}
TYPES = (TensorProto.FLOAT, TensorProto.INT8)
NOWHERE: Mapping[str, Drawn] = {}
# Weights that one decoder gives: what lies between stays in memory until all is unpacked.
TOGETHER = 1 << 26


@dataclass(frozen=True)
class Packed:
    """What became of a weight.

    Attributes:
        name: of it.
        size, kept: of how many weights, and how many of them are not 0.
        way: trits, bytes, gaps, seed or values, with the bits of a gap; or plain.
        bytes: of its numbers in the file.
    """

    name: str
    size: int
    kept: int
    way: str
    bytes: int


def compact(
    model: onnx.ModelProto, drawn: Mapping[str, Drawn] = NOWHERE, entry_price: float = 0.0
) -> list[Packed]:
    """Packs the weights of a model in place.

    The unpacked weights are equal to the bit, but that a -0 becomes +0. Weights that several operators read
    are unpacked once. Those that no packing makes smaller stay, as do weights of other types than float32 and
    int8, and those that are not finite.

    Args:
        model: of opset 18 or later, its weights inside.
        drawn: where signs were drawn, by the weight's name; such a weight, if it has one magnitude for each
            index, may have its signs drawn at load.
        entry_price: bytes that a file may grow by for each code that need not be taken apart; 0 for the
            smallest.

    Returns:
        Of every weight of these types in the order of the graph.
    """
    graph = model.graph
    members = [_member(item, drawn.get(item.name)) for item in _weights(graph)]
    costs = within_memory([costs_of(member) for member in members], members)
    plain = [member.weight.nbytes for member in members]
    ways = chosen(costs, plain, entry_price)
    if entry_price:
        ways = with_spare_time_used(ways, costs, [member.weight.size for member in members])
    found = [
        Packed(member.name, member.weight.size, int(np.count_nonzero(member.weight)), *said)
        for member, said in zip(members, map(_said, ways, costs, plain), strict=True)
    ]
    _replace(graph, _groups(members, ways))
    return found


def _said(way: Packing | None, costs: Mapping[Packing, int], plain: int) -> tuple[str, int]:
    return ("plain", plain) if way is None else (str(way), costs[way])


def _weights(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    read = {
        node.input[WEIGHT_OF[node.op_type]]
        for node in graph.node
        if node.op_type in WEIGHT_OF and not node.domain
    }
    given = {item.name for item in graph.input} | {item.name for item in graph.output}
    return [
        item
        for item in graph.initializer
        if item.name in read - given and item.data_type in TYPES and len(item.dims) > 1
    ]


def _member(item: onnx.TensorProto, drawn: Drawn | None) -> Member:
    weight = numpy_helper.to_array(item)
    levels = levels_of(weight) if weight.size and np.isfinite(weight).all() else None
    return Member(item.name, weight, levels, drawn)


def _groups(
    members: Sequence[Member], ways: Sequence[Packing | None]
) -> Iterator[tuple[Packing, list[Member]]]:
    """Weights that are unpacked together."""
    for way in sorted({way for way in ways if way is not None}):
        group, places = list[Member](), 0
        for member, its in zip(members, ways, strict=True):
            if its != way:
                continue
            size = member.drawn.size if member.drawn and way.kind == "seed" else member.weight.size
            if group and places + size > TOGETHER:
                yield way, group
                group, places = [], 0
            group.append(member)
            places += size
        yield way, group


def _replace(graph: onnx.GraphProto, groups: Iterator[tuple[Packing, list[Member]]]) -> None:
    """Puts decoders in the place of weights, in front of all that reads them."""
    shared, nodes, unpacked = Shared(graph), list[onnx.NodeProto](), list[Member]()
    for number, (way, members) in enumerate(groups, 1):
        nodes += _unpacking(way, members, f"u{number}", shared)
        unpacked += members
    gone = {member.name for member in unpacked}
    stays = [item for item in graph.initializer if item.name not in gone]
    del graph.initializer[:]
    graph.initializer.extend(stays)
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend(largest_first(nodes, unpacked) + rest)


def _unpacking(way: Packing, members: Sequence[Member], prefix: str, shared: Shared) -> list[onnx.NodeProto]:
    if way.kind == "seed":
        seeded = SeededDecoder(members, prefix, shared, str(way))
        seeded.from_seed(way.width)
        return seeded.ops.nodes
    decoder = Decoder(members, prefix, shared, str(way))
    if way.kind == "trits":
        decoder.from_trits()
    elif way.kind == "bytes":
        decoder.from_bytes()
    elif way.kind == "gaps":
        decoder.from_gaps(way.width)
    else:
        decoder.from_values(way.width)
    return decoder.ops.nodes
