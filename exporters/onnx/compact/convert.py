"""A dense-equivalent model to a compact one: each weight packed in the smallest way, or left as it is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from recycle_pipeline.exporters.onnx.compact import gaps, trits
from recycle_pipeline.exporters.onnx.compact.decoder import Shared
from recycle_pipeline.exporters.onnx.compact.levels import Levels, Weight, levels_of
from recycle_pipeline.exporters.onnx.compact.seeded import SeededDecoder, flips_among, seeded

# Operators, and which input is a weight; what is dequantized may be one of int8.
WEIGHT_OF = {"Conv": 1, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1, "DequantizeLinear": 0}
TYPES = (TensorProto.FLOAT, TensorProto.INT8)
DECODER_BYTES = 1700  # that the operators of one weight take in a file
DRAWING_BYTES = 1300  # that those take besides which draw signs
NO_KEYS: Mapping[str, int] = {}
MOST_PLACES = 2**31 - 1  # of one weight: places are int32 when unpacked


@dataclass(frozen=True)
class Packed:
    """What became of a weight.

    Attributes:
        name: of it.
        size, kept: of how many weights, and how many of them are not 0.
        way: trits, gaps, seeded or values, with the bits of a code; or plain.
        bytes: of its numbers in the file; the operators take about `DECODER_BYTES` more.
    """

    name: str
    size: int
    kept: int
    way: str
    bytes: int


@dataclass(frozen=True)
class _Way:
    name: str
    bytes: int
    build: Callable[[SeededDecoder], None]


def compact(model: onnx.ModelProto, keys: Mapping[str, int] = NO_KEYS) -> list[Packed]:
    """Packs the weights of a model in place.

    The unpacked weights are equal to the bit, but that a -0 becomes +0. Weights that several operators read
    are unpacked once. Those that no packing makes smaller stay, as do weights of other types than float32 and
    int8, and those that are not finite.

    Args:
        model: of opset 18 or later, its weights inside.
        keys: of the streams that signs were drawn from, by the weight's name; with one, a weight of one
            magnitude for each index may have its signs drawn at load.

    Returns:
        Of every weight of these types in the order of the graph.
    """
    graph = model.graph
    shared, found, unpacking = Shared(graph), list[Packed](), list[onnx.NodeProto]()
    for item in _weights(graph):
        weight = numpy_helper.to_array(item)
        way = _best(weight, keys.get(item.name))
        found.append(Packed(item.name, weight.size, int(np.count_nonzero(weight)), way.name, way.bytes))
        if way.name == "plain":
            continue
        name, shape = item.name, weight.shape
        graph.initializer.remove(item)
        decoder = SeededDecoder(name, f"w{len(found)}", shape, shared)
        way.build(decoder)
        last = decoder.nodes[-1]
        last.name = f"unpack {name}"
        last.doc_string = f"{found[-1].kept} of {weight.size} weights kept, as {way.name}"
        unpacking += decoder.nodes
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend(unpacking + rest)
    return found


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


def _best(weight: Weight, key: int | None) -> _Way:
    plain = _Way("plain", weight.nbytes, lambda decoder: None)
    if not 0 < weight.size <= MOST_PLACES or not np.isfinite(weight).all():
        return plain
    places = np.flatnonzero(weight)
    levels = levels_of(weight)
    ways = [_values(weight, places)]
    if levels is not None:
        ways += [_gaps(levels, places), _trits(levels)]
        if key is not None:
            ways.append(_seeded(levels, places, key))
    best = min(ways, key=lambda way: way.bytes)
    return best if best.bytes + DECODER_BYTES < plain.bytes else plain


def _trits(levels: Levels) -> _Way:
    count = -(-levels.signs.size // trits.EACH) + levels.scale.nbytes
    return _Way("trits", count, lambda decoder: decoder.from_trits(levels))


def _gaps(levels: Levels, places: NDArray[np.intp]) -> _Way:
    width, count = _narrowest(places, 1)
    count += levels.scale.nbytes
    entries = gaps.entries_of(places, width)
    return _Way(f"gaps of {width} bits", count, lambda decoder: decoder.from_gaps(levels, entries, width))


def _seeded(levels: Levels, places: NDArray[np.intp], key: int) -> _Way:
    width, count = _narrowest(places, 0)
    found, entries = seeded(levels, key), gaps.entries_of(places, width)
    flip_width, of_flips = _narrowest(flips_among(entries, found.flipped), 0)
    count += of_flips + found.scale.nbytes + DRAWING_BYTES
    return _Way(
        f"seed, gaps of {width} bits",
        count,
        lambda decoder: decoder.from_seed(found, entries, width, flip_width),
    )


def _values(weight: Weight, places: NDArray[np.intp]) -> _Way:
    width, count = _narrowest(places, 8 * weight.itemsize)
    entries = gaps.entries_of(places, width)
    return _Way(
        f"values, gaps of {width} bits", count, lambda decoder: decoder.from_values(weight, entries, width)
    )


def _narrowest(places: NDArray[np.intp], beside: int) -> tuple[int, int]:
    """The width of gaps for the fewest bytes, and those, with so many bits beside each."""
    counts = {width: -(-gaps.count_of(places, width) * (width + beside) // 8) for width in gaps.WIDTHS}
    best = min(counts, key=lambda width: counts[width])
    return best, counts[best]
