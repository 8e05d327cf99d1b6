"""Models in float16, with sparse initializers, and with 2-bit weights, under onnxruntime."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from recycle_pipeline.exporters.onnx.dense import InputSpec, to_onnx
from recycle_pipeline.exporters.onnx.fp16 import halved
from recycle_pipeline.exporters.onnx.int2 import in_two_bits
from recycle_pipeline.exporters.onnx.sparse import sparse
from recycle_pipeline.models.errors import RecycleError
from recycle_pipeline.models.registry import build


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).standard_normal((32, 3, 16, 16)).astype(np.float32)


def logits(model, images, **entries):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    for name, value in entries.items():
        options.add_session_config_entry(name.replace("__", "."), value)
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=providers)
    return session.run(None, {"images": images})[0]


def copy_of(model):
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def test_float16_is_half_as_large_and_close_and_keeps_what_goes_in_and_out(ternary_model, images):
    found = halved(ternary_model)
    onnx.checker.check_model(found, full_check=True)
    assert found.ByteSize() < 0.55 * ternary_model.ByteSize()
    expected, got = logits(ternary_model, images), logits(found, images)
    assert got.dtype == np.float32
    assert 0 < np.abs(got - expected).max() < 0.01 * np.abs(expected).max()
    said = [{p.key: p.value for p in model.metadata_props} for model in (found, ternary_model)]
    assert said[0] == said[1]
    assert found.ir_version == ternary_model.ir_version


def test_a_weight_beyond_float16_is_refused(ternary_model):
    model = copy_of(ternary_model)
    first = next(i for i in model.graph.initializer if i.data_type == TensorProto.FLOAT)
    first.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(first) * np.float32(1e7), first.name))
    with pytest.raises(
        RecycleError,
        match=r"of layer 'stem.conv' \(Conv\), holds .* float16 reaches 65504: expected",
    ):
        halved(model)


def test_sparse_weights_are_smaller_and_equal_to_the_bit(ternary_model, images):
    model = copy_of(ternary_model)
    for item in model.graph.initializer:
        if item.name == "layer3.1.conv1.weight":  # to have one that sparse would not make smaller
            item.CopyFrom(numpy_helper.from_array(np.ones(tuple(item.dims), np.float32), item.name))
    expected = logits(model, images)
    before = model.ByteSize()
    names = sparse(model)
    onnx.checker.check_model(model)  # the full check knows no operator that takes sparse weights
    assert len(names) == 21 and "layer3.1.conv1.weight" not in names
    assert model.ByteSize() < before
    assert np.array_equal(logits(model, images), expected)


def test_dense_weights_are_not_made_sparse():
    weight = numpy_helper.from_array(np.tile(np.float32([1, 0]), (10, 10)), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["images", "w"], ["logits"])],
        "g",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, 10))],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, (1, 20))],
        [weight],
    )
    model = helper.make_model(graph)
    before = model.SerializeToString()
    assert sparse(model) == [] and model.SerializeToString() == before


def test_two_bits_are_a_sixteenth_and_exact_where_nothing_else_is_quantized(ternary_model, images):
    before = ternary_model.SerializeToString()
    found, names = in_two_bits(ternary_model)
    onnx.checker.check_model(found, full_check=True)
    assert ternary_model.SerializeToString() == before
    assert len(names) == 22 and found.ByteSize() < 0.12 * ternary_model.ByteSize()
    expected = logits(ternary_model, images)
    assert np.array_equal(logits(found, images, session__disable_quant_qdq="1"), expected)
    np.testing.assert_allclose(logits(found, images), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("axis", (0, 1))
def test_two_bit_steps_lie_along_the_axis_that_has_them(axis):
    generator = np.random.default_rng(0)
    shape = (1, 60) if axis else (30, 1)
    signs = generator.integers(-1, 2, (30, 60)).astype(np.float32)
    weight = signs * generator.uniform(0.5, 2, shape).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["images", "w"], ["logits"])],
        "g",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, (5, 30))],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, (5, 60))],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    images = generator.standard_normal((5, 30)).astype(np.float32)
    found, _ = in_two_bits(model)
    assert np.array_equal(logits(found, images, session__disable_quant_qdq="1"), logits(model, images))


def test_weights_of_many_values_have_no_two_bits(pruned):
    network = pruned(build("conv2", classes=10, channels=1, image_size=8), (1, 8, 8))
    model = to_onnx(network, InputSpec(1, 8, (0.5,), (0.25,), False))
    with pytest.raises(RecycleError, match="no weight is ternary"):
        in_two_bits(model)
