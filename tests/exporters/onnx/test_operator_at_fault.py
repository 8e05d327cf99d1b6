"""Forms that a network has not say which of its layers is the reason."""

import re

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from recycle_pipeline.exporters.onnx.dense import InputSpec, to_onnx, write_model
from recycle_pipeline.exporters.onnx.forms import Dense, write_form
from recycle_pipeline.exporters.onnx.fp16 import halved
from recycle_pipeline.exporters.onnx.int2 import in_two_bits
from recycle_pipeline.exporters.onnx.int8 import quantized
from recycle_pipeline.exporters.onnx.operator_at_fault import named, operator_at_fault, read_by
from recycle_pipeline.models.errors import RecycleError
from recycle_pipeline.models.registry import build

OPERATOR = "operator Invented (odd) after layer 'layer2.0.conv1'"


@pytest.fixture(scope="module")
def model():
    """With an operator in the middle that nothing knows."""
    network = build("resnet20", classes=10, channels=3, image_size=16)
    model = to_onnx(network.eval(), InputSpec(3, 16, (0.5,) * 3, (0.25,) * 3, False))
    nodes = list(model.graph.node)
    at = next(i for i, node in enumerate(nodes) if "layer2.0.conv1.weight" in node.input)
    after = next(i for i, node in enumerate(nodes) if node.op_type == "Relu" and i > at)
    taken = nodes[after].input[0]
    nodes[after].input[0] = "invented"
    nodes.insert(after, helper.make_node("Invented", [taken], ["invented"], name="odd"))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def images():
    return [np.zeros((2, 3, 16, 16), np.float32)]


@pytest.mark.parametrize("form", ["int8", "int2"])
def test_a_conversion_that_fails_names_the_operator(model, form):
    with pytest.raises(RecycleError, match=f"^onnx.* cannot .*, at {re.escape(OPERATOR)}: "):
        quantized(model, images()) if form == "int8" else in_two_bits(model)


def test_a_file_that_fails_the_checker_names_the_operator(model, tmp_path):
    dense = Dense(model, {}, images)
    with pytest.raises(RecycleError) as found:
        write_form("onnx", dense, tmp_path / "model.onnx")
    assert f"onnx does not pass ONNX's checker, at {OPERATOR}: " in str(found.value)
    with pytest.raises(RecycleError) as found:
        write_model(model, {}, tmp_path / "model.onnx")
    assert f"the exported model does not pass ONNX's checker, at {OPERATOR}: " in str(found.value)
    assert not list(tmp_path.iterdir())


def test_a_sound_model_has_no_operator_at_fault_and_none_is_changed(model):
    before = model.SerializeToString()
    assert operator_at_fault(model, lambda part: None) == ""
    assert operator_at_fault(onnx.ModelProto(), lambda part: 1 / 0) == ""
    assert model.SerializeToString() == before


@pytest.mark.parametrize("which", [0, 1, 7, 20])
def test_the_first_operator_with_which_an_attempt_fails_is_found(model, which):
    wanted = model.graph.node[which].name

    def attempt(part):
        if wanted in {node.name for node in part.graph.node}:
            raise ValueError

    assert operator_at_fault(model, attempt) == f", at {named(model, model.graph.node[which])}"


def test_a_resize_is_halved_though_its_scales_stay_in_float32():
    scales = numpy_helper.from_array(np.float32([1, 1, 2, 2]), "scales")
    nodes = [
        helper.make_node("Relu", ["images"], ["some"], name="some"),
        helper.make_node("Resize", ["some", "", "scales"], ["logits"], name="resize", mode="cubic"),
    ]
    sizes = [(1, 3, 4, 4), (1, 3, 8, 8)]
    ends = [
        helper.make_tensor_value_info(n, 1, size) for n, size in zip(("images", "logits"), sizes, strict=True)
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [scales])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(halved(model), full_check=True)
    assert read_by(model, "scales") == "operator Resize (resize)"
    assert read_by(model, "nothing") == "an operator of no name"
