"""The dense twin: the same work with nothing to skip."""

import os

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from recycle_pipeline.exporters.onnx.dense import export_dense
from recycle_pipeline.exporters.onnx.twin import write_dense_twin


@pytest.fixture(scope="module")
def twin_file(small_file, tmp_path_factory):
    path = tmp_path_factory.mktemp("twin") / "twin.onnx"
    write_dense_twin(small_file, path)
    return path


def arrays_of(path):
    return {i.name: numpy_helper.to_array(i) for i in onnx.load(path).graph.initializer}


def test_the_model_it_starts_from_has_zeros(small_file):
    """Or the tests below would prove nothing."""
    zeros = {name: int((array == 0).sum()) for name, array in arrays_of(small_file).items() if array.ndim > 1}
    assert len(zeros) == 2
    assert min(zeros.values()) > 0


def test_nodes_shapes_and_names_are_those_of_the_model(small_file, twin_file):
    model, twin = onnx.load(small_file), onnx.load(twin_file)
    assert [(i.name, i.data_type, i.dims) for i in twin.graph.initializer] == [
        (i.name, i.data_type, i.dims) for i in model.graph.initializer
    ]
    for m in (model, twin):
        del m.graph.initializer[:]
    assert twin == model


def test_no_zero_is_left_in_a_weight_and_what_was_kept_is_kept(small_file, twin_file):
    before, after = arrays_of(small_file), arrays_of(twin_file)
    for name, array in before.items():
        if array.ndim > 1:
            assert np.count_nonzero(after[name]) == array.size
            assert np.array_equal(after[name][array != 0], array[array != 0])
            filled = np.abs(after[name][array == 0])
            assert 0.3 < filled.mean() / np.abs(array).mean() < 2  # of the weights' own size
            assert np.unique(filled).size == filled.size


def test_biases_are_untouched_zeros_and_all(small_file, twin_file):
    before, after = arrays_of(small_file), arrays_of(twin_file)
    vectors = {name: array for name, array in before.items() if array.ndim < 2}
    assert 0.0 in vectors["head.bias"]
    for name, array in vectors.items():
        assert after[name].tobytes() == array.tobytes()


def test_the_numbers_are_the_same_on_every_call_and_the_model_is_left_alone(small_file, twin_file, tmp_path):
    before = small_file.read_bytes()
    write_dense_twin(small_file, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == twin_file.read_bytes()
    assert small_file.read_bytes() == before
    assert os.listdir(tmp_path) == ["again.onnx"]


def test_it_runs_with_finite_logits_that_differ_from_the_models(small_file, twin_file, run):
    images = np.random.default_rng(0).standard_normal((5, 3, 4, 4)).astype(np.float32)
    logits = run(twin_file, images)
    assert logits.shape == (5, 5)
    assert np.isfinite(logits).all()
    assert np.abs(logits - run(small_file, images)).max() > 0.01


def _model(tmp_path, **arrays):
    """logits = images @ w, for images (batch, 4)."""
    value = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 4])
    result = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])
    node = helper.make_node("MatMul", ["images", "w"], ["logits"])
    graph = helper.make_graph(
        [node], "g", [value], [result], [numpy_helper.from_array(a, n) for n, a in arrays.items()]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_a_weight_of_nothing_but_zeros_is_filled_too(tmp_path):
    path = _model(tmp_path, w=np.zeros((4, 3), np.float32))
    write_dense_twin(path, tmp_path / "twin.onnx")
    filled = arrays_of(tmp_path / "twin.onnx")["w"]
    assert np.count_nonzero(filled) == 12
    assert np.isfinite(filled).all()
    assert np.abs(filled).max() < 0.1


def test_integers_and_doubles_are_no_weights(tmp_path):
    arrays = {
        "w": np.ones((4, 3), np.float32),
        "table": np.zeros((2, 2), np.int64),
        "double": np.zeros((2, 2)),
        "scalar": np.zeros((), np.float32),
    }
    write_dense_twin(_model(tmp_path, **arrays), tmp_path / "twin.onnx")
    after = arrays_of(tmp_path / "twin.onnx")
    assert all(np.array_equal(after[name], array) for name, array in arrays.items())


def test_preprocessing_stays_as_it_is(small, small_spec, tmp_path):
    export_dense(small, small_spec(embed=True, mean=(0.0, 0.4, 0.0)), {}, tmp_path / "model.onnx")
    write_dense_twin(tmp_path / "model.onnx", tmp_path / "twin.onnx")
    mean = arrays_of(tmp_path / "twin.onnx")["mean"]
    assert np.array_equal(mean.reshape(-1), np.array([0.0, 0.4, 0.0], np.float32))
