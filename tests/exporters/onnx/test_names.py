"""Graphs that people can read: every operator has a name, the graph says what it is."""

import numpy as np
import onnx
import pytest
from onnx import helper

from recycle_pipeline.exporters.onnx.compact.drawn import Drawn
from recycle_pipeline.exporters.onnx.forms import BUILDERS, Dense, write_form
from recycle_pipeline.exporters.onnx.names import name_after_layers
from recycle_pipeline.models.draws import signs_at, stream_key
from recycle_pipeline.models.kernel_library import find_library

KERNELS = {"onnx-kernel", "onnx-kernel-fp32"}
NAMES = [name for name in BUILDERS if find_library() or name not in KERNELS]


@pytest.fixture(scope="module")
def source(ternary_model):
    """Weights with the signs of streams, and metadata as a ticket's."""
    model, drawn = onnx.ModelProto(), {}
    model.CopyFrom(ternary_model)
    helper.set_model_props(model, {"arch": "resnet20", "kept": "81920/272474"})
    for item in model.graph.initializer:
        weight = onnx.numpy_helper.to_array(item)
        if weight.size > 30_000:
            key = stream_key(0, item.name)
            signs = np.where(signs_at(key, np.arange(weight.size)), -1, 1).reshape(weight.shape)
            item.CopyFrom(
                onnx.numpy_helper.from_array((np.abs(weight) * signs).astype(np.float32), item.name)
            )
            drawn[item.name] = Drawn(key, weight.shape)
    images = np.random.default_rng(0).standard_normal((8, 3, 16, 16)).astype(np.float32)
    return Dense(model, drawn, lambda: [images])


@pytest.mark.parametrize("form", NAMES)
def test_every_operator_has_a_name_of_its_own_and_the_graph_says_what_it_is(form, source, tmp_path):
    write_form(form, source, tmp_path / "model.onnx")
    graph = onnx.load(tmp_path / "model.onnx").graph
    names = [node.name for node in graph.node]
    assert all(names) and len(set(names)) == len(names)
    assert not any(name.startswith("node_") for name in names)
    assert graph.doc_string == f"{form} of resnet20, whose ticket keeps 81920 of 272474 weights"


@pytest.mark.parametrize(
    "form", ("onnx", "onnx-compact", "onnx-seed", "onnx-fp16", "onnx-sparse", "onnx-int2")
)
def test_convolutions_have_the_names_of_their_layers(form, source, tmp_path):
    write_form(form, source, tmp_path / "model.onnx")
    found = {node.name: node for node in onnx.load(tmp_path / "model.onnx").graph.node}
    assert found["stem.conv"].op_type == found["layer3.2.conv2"].op_type == "Conv"
    assert found["classifier"].op_type == "Gemm"


def test_of_two_that_read_one_weight_the_second_is_named_after_what_it_gives():
    nodes = [helper.make_node("MatMul", [given, "tied.weight"], [found]) for given, found in ("xy", "yz")]
    weight = onnx.numpy_helper.from_array(np.eye(2, dtype=np.float32), "tied.weight")
    graph = helper.make_graph(nodes, "g", [], [], [weight])
    name_after_layers(graph)
    assert [node.name for node in graph.node] == ["tied", "z"]
