"""8-bit models: ternary weights to the bit, close to the float model, fused by onnxruntime."""

import collections

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from recycle_pipeline.exporters.onnx.compact.convert import compact
from recycle_pipeline.exporters.onnx.dense import InputSpec, stamp, to_onnx
from recycle_pipeline.exporters.onnx.int8 import quantized
from recycle_pipeline.models.errors import RecycleError
from recycle_pipeline.models.registry import build

SHAPE = (3, 16, 16)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).standard_normal((64, *SHAPE)).astype(np.float32)


@pytest.fixture(scope="module")
def int8_model(ternary_model, images):
    return quantized(ternary_model, np.split(images, 4))


def logits(model, images, path=None):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    if path is not None:
        options.optimized_model_filepath = str(path)
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=providers)
    return session.run(None, {"images": images})[0]


def test_weights_are_equal_to_the_bit(ternary_model, int8_model):
    before = {item.name: numpy_helper.to_array(item) for item in ternary_model.graph.initializer}
    after = {item.name: numpy_helper.to_array(item) for item in int8_model.graph.initializer}
    compared = 0
    for node in int8_model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0].endswith("_quantized"):
            levels, step = after[node.input[0]], after[node.input[1]]
            weight = before[node.input[0].removesuffix("_quantized")]
            if weight.ndim < 2:
                continue  # a bias
            assert set(np.unique(levels)) <= {-64, 0, 64}
            assert np.array_equal(levels * step.reshape(-1, *[1] * (weight.ndim - 1)), weight)
            compared += 1
    assert compared == 22


def test_logits_are_close_and_classes_mostly_equal(ternary_model, int8_model, images):
    expected, got = logits(ternary_model, images), logits(int8_model, images)
    assert np.abs(got - expected).max() < 0.15 * np.abs(expected).max()
    assert (got.argmax(1) == expected.argmax(1)).mean() > 0.9
    assert not np.array_equal(got, expected)


def test_onnxruntime_fuses_every_convolution(int8_model, images, tmp_path):
    logits(int8_model, images, tmp_path / "optimized.onnx")
    found = collections.Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)
    assert found["QLinearConv"] == 21 and found["Conv"] == 0


def test_packed_8_bit_weights_give_the_same_logits_and_are_fused_as_well(int8_model, images, tmp_path):
    packed = onnx.ModelProto()
    packed.CopyFrom(int8_model)
    compact(packed)
    onnx.checker.check_model(packed, full_check=True)
    assert packed.ByteSize() < 0.6 * int8_model.ByteSize()
    assert np.array_equal(logits(packed, images, tmp_path / "optimized.onnx"), logits(int8_model, images))
    found = collections.Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)
    assert found["QLinearConv"] == 21 and found["Conv"] == 0 and found["ScatterElements"] == 0


def test_the_file_is_valid_small_and_says_what_the_ternary_model_says(ternary_model, int8_model):
    onnx.checker.check_model(int8_model, full_check=True)
    assert int8_model.ByteSize() < 0.35 * ternary_model.ByteSize()
    assert int8_model.metadata_props == ternary_model.metadata_props
    assert int8_model.ir_version == ternary_model.ir_version
    assert int8_model.producer_name == "recycle-pipeline"
    assert [i.name for i in int8_model.graph.input] == ["images"]
    assert int8_model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_models_that_take_pixels_are_calibrated_on_pixels(ternary_model, images):
    network = build("resnet20", classes=10, channels=3, image_size=16)
    model = to_onnx(network, InputSpec(3, 16, (0.5,) * 3, (0.25,) * 3, True))
    stamp(model, {})
    pixels = np.random.default_rng(0).integers(0, 256, (32, *SHAPE), dtype=np.uint8)
    found = quantized(model, [pixels])
    assert logits(found, pixels).shape == (32, 10)


def test_without_images_there_is_no_range(ternary_model):
    with pytest.raises(RecycleError, match="cannot quantize this network"):
        quantized(ternary_model, [])


def test_the_model_given_is_left_as_it_was(ternary_model, images):
    before = ternary_model.SerializeToString()
    quantized(ternary_model, [images[:8]])
    assert ternary_model.SerializeToString() == before
