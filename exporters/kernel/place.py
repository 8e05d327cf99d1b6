"""Puts the operator of the compiled kernels in the place of the nodes that it stands for."""

from dataclasses import dataclass

import onnx
from onnx import TensorProto, helper

from recycle_pipeline.exporters.kernel.packed import Image
from recycle_pipeline.models.kernel_library import DOMAIN

VERSION = 1
TERNARY, SPARSE = "TernaryNetwork", "SparseNetwork"  # of 8 bits, of float32
NAMES = {TERNARY: "ternary network", SPARSE: "sparse network"}
ELEMENTS = {TERNARY: TensorProto.UINT8, SPARSE: TensorProto.FLOAT}


@dataclass(frozen=True)
class Place:
    """Where in a graph an operator goes.

    Attributes:
        source, target: tensors that it takes and makes.
        image: what the target holds of each image.
        flat: whether the graph has that as one row.
    """

    source: str
    target: str
    image: Image
    flat: bool


def put_operator(model: onnx.ModelProto, operator: str, place: Place, content: bytes) -> None:
    """Puts it where the target is made, and takes away what nothing needs any more.

    Args:
        model: is changed.
        operator: TERNARY or SPARSE.
        content: the packed network.
    """
    graph, image, target = model.graph, place.image, place.target
    images = f"{target} as images" if place.flat else target
    ours = [
        helper.make_node(
            operator, [place.source], [images], name=NAMES[operator], domain=DOMAIN, network=content
        )
    ]
    if place.flat:
        ours.append(helper.make_node("Flatten", [images], [target], name="one row an image"))
    nodes = [each for node in graph.node for each in (ours if node.output[0] == target else [node])]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in _needed(nodes, graph)]
    del graph.node[:]
    graph.node.extend(copies)
    used = {name for node in copies for name in node.input}
    constants = [item for item in graph.initializer if item.name in used]
    del graph.initializer[:]
    graph.initializer.extend(constants)
    shape: list[str | int | None] = ["batch", image.channels, image.height, image.width]
    del graph.value_info[:]
    if images not in {value.name for value in graph.output}:
        graph.value_info.append(helper.make_tensor_value_info(images, ELEMENTS[operator], shape))
    model.opset_import.append(helper.make_opsetid(DOMAIN, VERSION))


def _needed(nodes: list[onnx.NodeProto], graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Those that the results come from, in order."""
    kept, wanted = list[onnx.NodeProto](), {value.name for value in graph.output}
    for node in reversed(nodes):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input)
    return kept[::-1]
