"""What values within a model reach, and the refusal of a float16 form that could not hold them."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from recycle_pipeline.exporters.onnx.activations import largest_activations
from recycle_pipeline.exporters.onnx.forms import Dense, write_form
from recycle_pipeline.exporters.onnx.fp16 import LARGEST, require_room
from recycle_pipeline.models.errors import RecycleError


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).standard_normal((8, 3, 16, 16)).astype(np.float32)


def scaled(model, **factors):
    """The model with these weights that many times as large."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for item in copy.graph.initializer:
        if factor := factors.get(item.name.replace(".", "_")):
            item.CopyFrom(
                numpy_helper.from_array(numpy_helper.to_array(item) * np.float32(factor), item.name)
            )
    return copy


def test_it_is_the_largest_magnitude_over_all_batches(ternary_model, images, run, tmp_path):
    before = ternary_model.SerializeToString()
    found = largest_activations(ternary_model, [images[:4], images[4:]])
    assert ternary_model.SerializeToString() == before
    onnx.save(ternary_model, tmp_path / "model.onnx")
    logits = run(tmp_path / "model.onnx", images)
    np.testing.assert_allclose(found["logits"], np.abs(logits).max(), rtol=1e-4)
    assert len(found) > 40 and min(found.values()) > 0


def test_values_beyond_half_of_float16_are_refused_by_the_tensors_name_though_logits_are_small(
    ternary_model, images
):
    """Inside by 1e6, and back before the logits: weights and logits are those that float16 holds."""
    require_room(ternary_model, [images])
    large = scaled(ternary_model, stem_conv_weight=1e3, layer1_0_conv1_weight=1e3)
    found = largest_activations(large, [images])
    first = next(name for name, value in found.items() if value > LARGEST / 2)
    said = rf"onnx-fp16: {first}, of layer 'layer1.0.conv1' \(Conv\), reaches .* ends at 65504: expected"
    with pytest.raises(RecycleError, match=said):
        require_room(large, [images])


def test_the_form_is_not_written_then(ternary_model, images, tmp_path):
    large = scaled(ternary_model, stem_conv_weight=1e3, layer1_0_conv1_weight=1e3)
    with pytest.raises(RecycleError, match=r"onnx-fp16: .*, reaches"):
        write_form("onnx-fp16", Dense(large, {}, lambda: [images]), tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
    write_form("onnx-fp16", Dense(ternary_model, {}, lambda: [images]), tmp_path / "model.onnx")
