"""Weights of any shape, nothing kept, one or all, as sparse tensors and as 2-bit integers: to the bit."""

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from recycle_pipeline.exporters.onnx import int2
from recycle_pipeline.exporters.onnx.runtime import USUAL
from recycle_pipeline.exporters.onnx.sparse import sparse

SHAPES = st.one_of(
    st.tuples(st.integers(1, 9), st.integers(1, 70)),
    st.tuples(st.integers(1, 7), st.integers(1, 6), st.integers(1, 3), st.integers(1, 3)),
)
KEPT = st.one_of(st.sampled_from(("nothing", "one", "all")), st.floats(0, 1))
CASES = {"shape": SHAPES, "kept": KEPT, "seed": st.integers(0, 2**32 - 1)}


def weight_of(shape, kept, seed, axis=None):
    """Float32 weights; along an axis they have one magnitude for each index."""
    generator = np.random.default_rng(seed)
    size = int(np.prod(shape))
    mask = np.full(size, kept == "all")
    if kept == "one":
        mask[generator.integers(size)] = True
    elif isinstance(kept, float):
        mask = generator.random(size) < kept
    values = generator.standard_normal(shape)
    if axis is not None:
        steps = [1] * len(shape)
        steps[axis] = shape[axis]
        values = np.sign(values) * generator.uniform(0.1, 3, steps)
    return np.where(mask.reshape(shape), values, 0).astype(np.float32)


def model_of(weight):
    """Each image has a single 1: what an operator makes of all of them is its weight."""
    filters, fed = weight.shape[0], int(np.prod(weight.shape[1:]))
    operator, given, made = "Conv", [fed, *weight.shape[1:]], [fed, filters, 1, 1]
    if weight.ndim == 2:
        operator, given, made = "MatMul", [filters, filters], list(weight.shape)
    graph = helper.make_graph(
        [helper.make_node(operator, ["images", "w"], ["logits"])],
        "g",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, given)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, made)],
        [numpy_helper.from_array(weight, "w")],
    )
    opset = [helper.make_opsetid("", USUAL.opset)]
    return helper.make_model(graph, opset_imports=opset, ir_version=USUAL.ir_version)


def read_by(model, weight, **entries):
    """The weight as onnxruntime multiplies by it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    for key, value in entries.items():
        options.add_session_config_entry(key.replace("__", "."), value)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    shape = session.get_inputs()[0].shape
    images = np.eye(shape[0], dtype=np.float32).reshape(shape)
    logits = session.run(None, {"images": images})[0]
    return logits if weight.ndim == 2 else logits.reshape(len(images), -1).T.reshape(weight.shape)


@settings(max_examples=60, deadline=None)
@given(**CASES)
def test_any_sparse_weight_is_equal_to_the_bit_and_smaller(shape, kept, seed):
    weight = weight_of(shape, kept, seed)
    model = model_of(weight)
    names = sparse(model)
    onnx.checker.check_model(model)
    assert bool(names) == (3 * np.count_nonzero(weight) < weight.size)
    assert np.array_equal(read_by(model, weight), weight)


@settings(max_examples=60, deadline=None)
@given(axis=st.integers(0, 1), **CASES)
def test_any_ternary_weight_in_two_bits_is_equal_to_the_bit(shape, kept, seed, axis):
    weight = weight_of(shape, kept, seed, axis)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(int2, "OPERATOR_BYTES", -(2**31))  # small ones too
        model, names = int2.in_two_bits(model_of(weight))
    onnx.checker.check_model(model, full_check=True)
    assert names == ["w"]
    assert np.array_equal(read_by(model, weight, session__disable_quant_qdq="1"), weight)
