"""`--export onnx-kernel`: the integers of `onnx-int8`, computed by compiled kernels that skip every zero.

The part of the graph between the first 8-bit tensor and the last that they can make becomes one operator,
`recycle.TernaryNetwork`, whose attribute `network` holds the packed weights; what is left stays as it is.
"""

import onnx
from onnx import TensorProto, helper

from recycle_pipeline.exporters.kernel.library import Kernels
from recycle_pipeline.exporters.kernel.network import Part, first_part
from recycle_pipeline.exporters.kernel.packed import packed
from recycle_pipeline.models.errors import RecycleError
from recycle_pipeline.models.kernel_library import DOMAIN

OPERATOR, VERSION = "TernaryNetwork", 1


def with_kernels(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with one operator for the part that the kernels compute.

    Args:
        model: 8-bit, in QuantizeLinear and DequantizeLinear, of one input (N, C, H, W). It is left as it is.

    Raises:
        RecycleError: there is no such part: weights are not ternary, or operators are others.
        PackageMissing: the kernels are not compiled here, so that nothing could check what is written.
    """
    found = onnx.ModelProto()
    found.CopyFrom(model)
    sides = [axis.dim_value for axis in model.graph.input[0].type.tensor_type.shape.dim[1:]]
    part = first_part(found, (sides[0], sides[1], sides[2])) if len(sides) == 3 and min(sides) > 0 else None
    if part is None:
        raise RecycleError(
            "onnx-kernel: no convolution here has ternary weights, one magnitude for each output channel and "
            "nothing but ReLU, additions and pooling around it; expected a network of --subnetwork binary; "
            "choose another --export"
        )
    content = packed(part.images, part.steps, 0, len(part.images) - 1)
    with Kernels(content) as kernels:  # refuses what it would refuse under onnxruntime
        counts = kernels.counts
    _replace(found.graph, part, content)
    found.opset_import.append(helper.make_opsetid(DOMAIN, VERSION))
    found.metadata_props.add(key="kernel_weights", value=str(counts.weights))
    found.metadata_props.add(key="kernel_channels_in_16_bits", value=str(counts.narrow))
    found.metadata_props.add(key="kernel_channels_in_parts", value=str(counts.chunked))
    return found


def _replace(graph: onnx.GraphProto, part: Part, content: bytes) -> None:
    """Puts the operator where the part's last node was, and takes away what nothing needs any more."""
    source, target, image = part.names[0], part.names[-1], part.images[-1]
    flat = any(node.op_type == "Gemm" for node in part.nodes[-1])  # ours makes images
    images = f"{target} as images" if flat else target
    ours = [
        helper.make_node(
            OPERATOR, [source], [images], name="ternary network", domain=DOMAIN, network=content
        ),
        *([helper.make_node("Flatten", [images], [target], name="one row an image")] if flat else []),
    ]
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
    graph.value_info.append(helper.make_tensor_value_info(images, TensorProto.UINT8, shape))


def _needed(nodes: list[onnx.NodeProto], graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Those that the results come from, in order."""
    kept, wanted = list[onnx.NodeProto](), {value.name for value in graph.output}
    for node in reversed(nodes):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input)
    return kept[::-1]
