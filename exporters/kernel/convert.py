"""`--export onnx-kernel`: the integers of `onnx-int8`, computed by compiled kernels that skip every zero.

The part of the graph between the first 8-bit tensor and the last that they can make becomes one operator,
`recycle.TernaryNetwork`, whose attribute `network` holds the packed weights; what is left stays as it is.
"""

import onnx
from onnx import TensorProto, helper

from recycle_pipeline.exporters.kernel.network import Part, first_part
from recycle_pipeline.exporters.kernel.packed import packed
from recycle_pipeline.models.errors import RecycleError

DOMAIN, OPERATOR, VERSION = "recycle", "TernaryNetwork", 1


def with_kernels(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with one operator for the part that the kernels compute.

    Args:
        model: 8-bit, in QuantizeLinear and DequantizeLinear, of one input (N, C, H, W). It is left as it is.

    Raises:
        RecycleError: there is no such part: weights are not ternary, or operators are others.
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
    _replace(found.graph, part)
    found.opset_import.append(helper.make_opsetid(DOMAIN, VERSION))
    return found


def _replace(graph: onnx.GraphProto, part: Part) -> None:
    """Puts the operator where the part's last node was, and takes away what nothing needs any more."""
    source, target = part.names[0], part.names[part.target]
    content = packed(part.images, part.steps, 0, part.target)
    node = helper.make_node(
        OPERATOR, [source], [target], name="ternary network", domain=DOMAIN, network=content
    )
    replaced = {id(each) for nodes in part.nodes for each in nodes}
    nodes: list[onnx.NodeProto] = []
    for each in graph.node:
        if each.output[0] == target:
            nodes.append(node)
        elif id(each) not in replaced:
            nodes.append(each)
    kept = _needed(nodes, {value.name for value in graph.output})
    copies = [onnx.NodeProto.FromString(each.SerializeToString()) for each in kept]
    del graph.node[:]
    graph.node.extend(copies)
    used = {name for each in copies for name in each.input}
    constants = [item for item in graph.initializer if item.name in used]
    del graph.initializer[:]
    graph.initializer.extend(constants)
    image = part.images[part.target]
    shape = ["batch", image.channels, image.height, image.width]
    del graph.value_info[:]
    graph.value_info.append(helper.make_tensor_value_info(target, TensorProto.UINT8, shape))


def _needed(nodes: list[onnx.NodeProto], results: set[str]) -> list[onnx.NodeProto]:
    """Those that the results come from, in order."""
    kept, wanted = [], set(results)
    for node in reversed(nodes):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input)
    return kept[::-1]
