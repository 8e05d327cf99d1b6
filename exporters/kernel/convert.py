"""`--export onnx-kernel` and `onnx-kernel-fp32`: compiled kernels that skip every zero.

They compute the integers of `onnx-int8`, or the float32 numbers of `onnx`. The part of the graph from the
first 8-bit tensor, or the images, to the last tensor that they can make becomes one operator,
`recycle.TernaryNetwork` or `recycle.SparseNetwork`, whose attribute `network` holds the packed weights; what
is left stays as it is.
"""

import onnx

from recycle_pipeline.exporters.kernel.float_network import float_part
from recycle_pipeline.exporters.kernel.library import Kernels
from recycle_pipeline.exporters.kernel.network import first_part
from recycle_pipeline.exporters.kernel.packed import packed
from recycle_pipeline.exporters.kernel.packed_floats import packed_floats
from recycle_pipeline.exporters.kernel.place import SPARSE, TERNARY, Place, put_operator
from recycle_pipeline.exporters.onnx.relu_first import relu_first
from recycle_pipeline.models.errors import RecycleError


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
    shape = _shape(model)
    part = first_part(found, shape) if shape else None
    if part is None:
        raise RecycleError(
            "onnx-kernel: no convolution here has ternary weights, one magnitude for each output channel and "
            "nothing but ReLU, additions, pooling and linear layers around it; expected a network of "
            "--subnetwork binary; choose another --export"
        )
    content = packed(part.images, part.steps, 0, len(part.images) - 1)
    with Kernels(content) as kernels:  # refuses what it would refuse under onnxruntime
        counts = kernels.counts
    place = Place(part.names[0], part.names[-1], part.images[-1], part.names[-1] in part.flat)
    put_operator(found, TERNARY, place, content)
    found.metadata_props.add(key="kernel_weights", value=str(counts.weights))
    found.metadata_props.add(key="kernel_channels_in_16_bits", value=str(counts.narrow))
    found.metadata_props.add(key="kernel_channels_in_parts", value=str(counts.chunked))
    return found


def with_float_kernels(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with one operator for the part that the kernels compute in float32.

    Args:
        model: float32, batch norm folded, of one input (N, C, H, W). It is left as it is.

    Raises:
        RecycleError: there is no such part: its operators are others.
        PackageMissing: the kernels are not compiled here, so that nothing could check what is written.
    """
    found, shape = relu_first(model), _shape(model)
    part = float_part(found, shape) if shape else None
    if part is None:
        raise RecycleError(
            "onnx-kernel-fp32: the network does not begin with convolutions on float32 images, and nothing "
            "but ReLU, additions, pooling and linear layers around them; choose another --export"
        )
    content = packed_floats(part.images, part.steps)
    with Kernels(content) as kernels:  # refuses what it would refuse under onnxruntime
        counts = kernels.counts
    source, target = next(iter(part.images)), part.steps[-1].target
    put_operator(found, SPARSE, Place(source, target, part.images[target], target in part.flat), content)
    found.metadata_props.add(key="kernel_weights", value=str(counts.weights))
    return found


def _shape(model: onnx.ModelProto) -> tuple[int, int, int] | None:
    """Channels, height and width of what it takes; None where they are open."""
    sides = [axis.dim_value for axis in model.graph.input[0].type.tensor_type.shape.dim[1:]]
    return (sides[0], sides[1], sides[2]) if len(sides) == 3 and min(sides) > 0 else None
