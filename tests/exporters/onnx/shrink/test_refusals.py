"""What shrinking does not understand it leaves alone: never wrong, at worst not smaller."""

import numpy as np
import pytest

from recycle_pipeline.exporters.onnx.shrink import shrink

# Between two convolutions of which the first has two dead filters of eight. What mixes channels, or
# reads more than numbers, pins them.
BETWEEN = [
    "y = Softmax<axis=1>(x)",
    "y = LRN<size=3>(x)",
    "y = InstanceNormalization(x, eight, eight)",
    "t = Transpose<perm=[0,2,1,3]>(x) y = Transpose<perm=[0,2,1,3]>(t)",
    "a, b = Split<axis=1, num_outputs=2>(x) y = Concat<axis=1>(b, a)",
    "w = Reshape(x, mixed) y = Reshape(w, back)",
    "m = ReduceMean(x, channels) y = Add(x, m)",
    "y = Pad(x, around)",
    'y = Pad<mode="reflect">(x, inside)',
    'y = MaxPool<kernel_shape=[3,3], auto_pad="SAME_UPPER">(x)',
    "y = Add(x, images)",
    "y = Mul(x, one)",
    "y = CumSum(x, one_int)",
    "y = Clip(x, big)",
    "s = Shape(x) y = Reshape(x, s)",
]
MADE_BEFORE = {
    "y = Mul(x, one)": "one = ReduceMean(images)",
    "y = Clip(x, big)": "big = ReduceMin<keepdims=0>(images)",
}
CONSTANTS = {
    "eight": np.ones(8),
    "mixed": np.array([-1, 4, 6, 12]),
    "back": np.array([-1, 8, 6, 6]),
    "fixed": np.array([1, 8, 6, 6]),
    "channels": np.array([1]),
    "around": np.array([0, 1, 0, 0, 0, -1, 0, 0]),
    "inside": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
    "one_int": np.array(2),
}
TEXT = """(float[batch,8,6,6] images) => (float[%s,4,h,w] logits) {
    %s
    x = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(images, w1)
    %s
    logits = Conv<kernel_shape=[1,1]>(y, w2)
}"""


@pytest.mark.parametrize("operators", BETWEEN)
def test_an_operator_that_is_not_understood_keeps_its_channels(operators, model, weight, compared):
    before = MADE_BEFORE.get(operators, "")
    used = {name: array for name, array in CONSTANTS.items() if f", {name}" in operators}
    weights = {"w1": weight(8, 8, 3, 3, seed=1, dead=(1, 6)), "w2": weight(4, 8, 1, 1, seed=2)}
    assert not compared(model(TEXT % ("batch", before, operators), **weights, **used)).changed


def test_a_reshape_that_fixes_the_batch_pins_its_channels(model, weight):
    weights = {"w1": weight(8, 8, 3, 3, seed=1, dead=(1, 6)), "w2": weight(4, 8, 1, 1, seed=2)}
    made = model(TEXT % (1, "", "y = Reshape(x, fixed)"), **weights, fixed=CONSTANTS["fixed"])
    assert shrink(made).model is made


IF = """(float[batch,3,4,4] images) => (float[batch,2,4,4] logits) {
    x = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(images, w1)
    m = ReduceMax<keepdims=0>(images)
    c = Greater(m, zero)
    y = If(c) <
        then_branch = t () => (float[batch,4,4,4] a) { a = Relu(x) },
        else_branch = e () => (float[batch,4,4,4] b) { b = Neg(x) }
    >
    logits = Conv<kernel_shape=[1,1]>(y, w2)
}"""


def test_what_graphs_inside_of_nodes_read_stays(model, weight, compared):
    weights = {"w1": weight(4, 3, 3, 3, seed=1, dead=(0,)), "w2": weight(2, 4, 1, 1, seed=2)}
    assert not compared(model(IF, **weights, zero=np.float32(0))).changed


COMPUTED = """(float[batch,3,4,4] images) => (float[batch,2,4,4] logits) {
    w = Mul(w1, half)
    x = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(images, %s)
    logits = Conv<kernel_shape=[1,1]>(x, %s)
}"""


def test_a_weight_that_the_graph_computes_is_not_read(model, weight, compared, weight_shapes):
    """As those that unpack themselves; the layers around it are shrunk all the same."""
    weights = {"w1": weight(4, 3, 3, 3, seed=1, dead=(0,)), "w2": weight(2, 4, 1, 1, seed=2)}
    assert not compared(model(COMPUTED % ("w", "w2"), **weights, half=np.float32(0.5))).changed


def test_a_weight_that_a_user_can_feed_is_no_constant(model, weight):
    from onnx import TensorProto, helper

    text = COMPUTED.replace("    w = Mul(w1, half)\n", "") % ("w1", "w2")
    weights = {"w1": weight(4, 3, 3, 3, seed=1, dead=(0,)), "w2": weight(2, 4, 1, 1, seed=2)}
    made = model(text, **weights)
    made.graph.input.append(helper.make_tensor_value_info("w1", TensorProto.FLOAT, [4, 3, 3, 3]))
    assert shrink(made).model is made


def test_images_of_any_size_are_left_alone(model, weight, compared):
    """Maps of constants need sizes."""
    text = """(float[batch,3,height,width] images) => (float[batch,2,height,width] logits) {
        x = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(images, w1)
        logits = Conv<kernel_shape=[1,1]>(x, w2)
    }"""
    made = model(text, w1=weight(4, 3, 3, 3, seed=1, dead=(0,)), w2=weight(2, 4, 1, 1, seed=2))
    assert shrink(made).model is made


def test_weights_that_are_not_finite_are_nobodys_constants(model, weight):
    text = """(float[batch,3,4,4] images) => (float[batch,2,4,4] logits) {
        x = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(images, w1, b1)
        logits = Conv<kernel_shape=[1,1]>(x, w2)
    }"""
    weights = {"w1": weight(4, 3, 3, 3, seed=1, dead=(0,)), "w2": weight(2, 4, 1, 1, seed=2)}
    made = model(text, **weights, b1=[np.inf, 0, 0, 0])
    assert shrink(made).model is made
