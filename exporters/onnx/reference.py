"""A small model that every machine can write: what candidates and stored baselines are both timed beside."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from recycle_pipeline.exporters.atomic import replacing

SIDE, CHANNELS, LAYERS, CLASSES = 16, 64, 4, 10
OPSET, IR_VERSION = 17, 8  # read by every runtime that reads the exports


def write_reference(path: Path) -> None:
    """Writes convolutions of 3 x 3 with ReLU, a mean and a linear layer: images (N, 3, 16, 16) to (N, 10).

    Same bytes on every call: weights are small integers of a fixed generator over a power of 2, so that no
    machine rounds them otherwise. About 38 million multiply-adds an image.

    Raises:
        OSError: the file cannot be written.
    """
    rng = np.random.default_rng(0)
    nodes, weights, name = [], {}, "images"
    for layer in range(LAYERS + 1):
        channels = CHANNELS if layer else 3
        weights[f"w{layer}"] = _integers(rng, (CHANNELS, channels, 3, 3))
        nodes.append(helper.make_node("Conv", [name, f"w{layer}"], [f"c{layer}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{layer}"], [f"r{layer}"]))
        name = f"r{layer}"
    weights["out"] = _integers(rng, (CHANNELS, CLASSES))
    nodes.append(helper.make_node("GlobalAveragePool", [name], ["mean"]))
    nodes.append(helper.make_node("Flatten", ["mean"], ["flat"]))
    nodes.append(helper.make_node("MatMul", ["flat", "out"], ["logits"]))
    graph = helper.make_graph(
        nodes,
        "reference",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", CLASSES])],
        [numpy_helper.from_array(array, key) for key, array in weights.items()],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="reference",
    )
    with replacing(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))


def _integers(
    rng: np.random.Generator, shape: tuple[int, ...]
) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    return (rng.integers(-8, 9, shape) / 256).astype(np.float32)
