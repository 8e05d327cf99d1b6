"""Operators that channels pass: dead ones go through, constants come out as the runtime makes them."""

import numpy as np
import pytest

# `y` of `x`, (batch, 8, 6, 6), of which channels 1, 2 and 5 are constants 0, 0.7 and -1.3.
SAME_CHANNELS = [
    "y = Relu(x)",
    "y = LeakyRelu<alpha=0.2>(x)",
    "y = Elu<alpha=0.7>(x)",
    "y = Sigmoid(x)",
    "y = Tanh(x)",
    "y = HardSigmoid<alpha=0.3, beta=0.4>(x)",
    "y = HardSwish(x)",
    "y = Softplus(x)",
    "y = Gelu(x)",
    'y = Gelu<approximate="tanh">(x)',
    "y = Erf(x)",
    "y = Neg(x)",
    "y = Abs(x)",
    "y = Identity(x)",
    "y = Dropout(x)",
    "y = Clip(x, low, high)",
    "y = Clip(x, low)",
    'y = Clip(x, "", high)',
    "y = PRelu(x, column)",
    "y = PRelu(x, scalar)",
    "y = Add(x, column)",
    "y = Add(column, x)",
    "y = Sub(column, x)",
    "y = Mul(x, batched)",
    "y = Mul(x, row)",
    "y = Mul(x, whole)",
    "y = Div(x, column)",
    "y = Max(x, scalar)",
    "y = Min(scalar, x)",
    "y = BatchNormalization<epsilon=0.01>(x, gamma, beta, mean, var)",
    "y = MaxPool<kernel_shape=[2,2], strides=[2,2]>(x)",
    "y = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(x)",
    "y = MaxPool<kernel_shape=[2,3], strides=[2,1], pads=[0,1,1,0], dilations=[2,1]>(x)",
    "y = MaxPool<kernel_shape=[3,3], strides=[2,2], ceil_mode=1>(x)",
    "y = AveragePool<kernel_shape=[2,2], strides=[2,2]>(x)",
    "y = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1]>(x)",
    "y = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1], count_include_pad=1>(x)",
    "y = AveragePool<kernel_shape=[3,3], strides=[2,2], pads=[1,0,0,1], ceil_mode=1>(x)",
    "y = AveragePool<kernel_shape=[3,2], strides=[2,2], pads=[1,1,1,0], count_include_pad=1>(x)",
    "y = GlobalAveragePool(x)",
    "y = GlobalMaxPool(x)",
    "y = ReduceMean(x, axes)",
    "y = ReduceMean(x, last)",
    "y = ReduceMax(x, axes)",
    "y = Pad(x, pads)",
    "y = Pad(x, pads, high)",
    "m = GlobalAveragePool(x) g = Sigmoid(m) y = Mul(x, g)",
    "m = ReduceMean<keepdims=0>(x, axes) u = Unsqueeze(m, axes) y = Add(u, x)",
    "m = ReduceMean(x, axes) q = Squeeze(m, axes) u = Unsqueeze(q, axes) y = Sub(x, u)",
    "t = Reshape(x, apart) y = Reshape(t, together)",
    "s = Sigmoid(x) y = Mul(x, s)",
]
# Those that make of one constant several.
UNEVEN = {
    "y = Mul(x, row)",
    "y = Mul(x, whole)",
    "y = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1], count_include_pad=1>(x)",
    "y = AveragePool<kernel_shape=[3,2], strides=[2,2], pads=[1,1,1,0], count_include_pad=1>(x)",
    "y = Pad(x, pads)",
    "y = Pad(x, pads, high)",
}
CONSTANTS = {
    "low": np.float32(-0.5),
    "high": np.float32(0.6),
    "scalar": np.float32(0.3),
    "column": np.linspace(0.2, 0.9, 8).reshape(8, 1, 1),
    "batched": np.linspace(-1, 1, 8).reshape(1, 8, 1, 1),
    "row": np.linspace(0.5, 1, 6),
    "whole": np.linspace(-1, 1, 288).reshape(1, 8, 6, 6),
    "gamma": np.linspace(0.5, 2, 8),
    "beta": np.linspace(-1, 1, 8),
    "mean": np.linspace(-0.3, 0.3, 8),
    "var": np.linspace(0.5, 2, 8),
    "axes": np.array([2, 3]),
    "last": np.array([-1]),
    "pads": np.array([0, 0, 1, 0, 0, 0, 0, 2]),
    "apart": np.array([0, 8, 2, 18]),
    "together": np.array([-1, 8, 6, 6]),
}
BIAS = np.array([0.1, 0, 0.7, -0.2, 0.3, -1.3, 0, 0.2])
DEAD = (1, 2, 5)
TEXT = """(float[batch,3,6,6] images) => (float[batch,%s] logits) {
    x = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(images, w1, b1)
    %s
    logits = Conv<kernel_shape=[1,1], pads=[%s]>(y, w2)
}"""


def around(operators, build, weight, padded=True):
    """The operator(s) between two convolutions; the second pads, so that constants differ at borders."""
    used = {name: array for name, array in CONSTANTS.items() if name in operators.replace("_", " ")}
    weights = {"w1": weight(8, 3, 3, 3, seed=1, dead=DEAD), "b1": BIAS, "w2": weight(4, 8, 1, 1, seed=2)}
    pads = "1,1,1,1" if padded else "0,0,0,0"
    return build(TEXT % ("4,height,width", operators, pads), **weights, **used)


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("operators", SAME_CHANNELS)
def test_dead_channels_go_through(operators, padded, model, weight, compared, weight_shapes):
    shrunk = compared(around(operators, model, weight, padded))
    (first, *_), second = weight_shapes(shrunk.model)
    assert first == second[1]
    if operators in UNEVEN:  # so small a network keeps them: a map would hold more than it saves
        assert first in (7, 8)
    else:  # all three go, or at padded borders one of them stands for the others
        assert first in ((5, 6) if padded else (5,))


SIGN = """(float[batch,3,4,4] images) => (float[batch,4,4,4] logits) {
    x = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(images, w1, b1)
    s = Sign(x)
    y = Conv<kernel_shape=[1,1]>(s, w2)
    t = Sign(y)
    logits = Conv<kernel_shape=[1,1]>(t, w3)
}"""


def test_a_sign_is_known_where_no_rounding_decides_it(model, weight, compared, weight_shapes):
    """Signs of the dead filters' biases are; those of the sums that read these alone need not be."""
    w2 = weight(6, 6, 1, 1, seed=2)
    w2[:2, 2:] = 0
    weights = {"w1": weight(6, 3, 3, 3, seed=1, dead=(0, 1)), "b1": [0.5, -0.1, 0.2, 0, 0, 0.1], "w2": w2}
    shrunk = compared(model(SIGN, **weights, w3=weight(4, 6, 1, 1, seed=3)))
    assert weight_shapes(shrunk.model) == [(4, 3, 3, 3), (6, 4, 1, 1), (4, 6, 1, 1)]


# --- linear layers -------------------------------------------------------------------------------

FLAT = """(float[batch,3,4,4] images) => (float[batch,5] logits) {
    x = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(images, w1, b1)
    r = Relu(x)
    %s
    h = Gemm<transB=1>(%s, w2, b2)
    q = Relu(h)
    logits = %s
}"""
FLATTENED = ["f = Flatten(r)", "f = Reshape(r, whole)", "f = Reshape(r, free)"]
LAST = ["Gemm<alpha=0.5, beta=2.0>(q, w3, b3)", "Gemm<transB=1>(q, w4)", "MatMul(q, w3)", "Gemm(q, w3, row)"]


@pytest.mark.parametrize("last", LAST)
@pytest.mark.parametrize("flattened", FLATTENED)
def test_channels_go_through_a_flatten_and_neurons_between_linear_layers(
    flattened, last, model, weight, compared, weight_shapes
):
    """Constants behind the flatten are what the padded convolution made: a number each."""
    weights = {"w1": weight(6, 3, 3, 3, seed=1, dead=(0, 3)), "b1": [0.4, 0, 0, -1, 0, 0]}
    weights |= {"w2": weight(8, 96, seed=2, dead=(1, 2, 7)), "b2": np.linspace(0.1, 0.8, 8)}
    given = {
        "w3": weight(5, 8, seed=3).T,
        "b3": np.linspace(-1, 1, 5),
        "row": np.ones((1, 5)),
        "w4": weight(5, 8, seed=3),
    }
    given |= {"whole": np.array([-1, 96]), "free": np.array([0, -1])}
    used = {name: array for name, array in given.items() if name in flattened + last}
    shrunk = compared(model(FLAT % (flattened, "f", last), **weights, **used))
    shapes = weight_shapes(shrunk.model)
    assert shapes[:2] == [(4, 3, 3, 3), (5, 64)]
    assert 5 in shapes[2] and np.prod(shapes[2]) == 25


def test_arithmetic_on_flattened_channels(model, weight, compared, weight_shapes):
    text = FLAT % ("f = Flatten(r) g = Mul(f, each) e = Add(g, f) k = Concat<axis=1>(e, f)", "k", LAST[1])
    weights = {"w1": weight(6, 3, 3, 3, seed=1, dead=(0, 3)), "b1": [0.4, 0, 0, 0, 0, 0], "b2": np.zeros(8)}
    weights |= {"w2": weight(8, 192, seed=2), "w4": weight(5, 8, seed=3), "each": np.linspace(-1, 1, 96)}
    shrunk = compared(model(text, **weights))
    assert weight_shapes(shrunk.model)[:2] == [(4, 3, 3, 3), (8, 128)]


def test_a_feature_alone_does_not_go_where_its_channel_lives(model, weight, compared):
    w2 = weight(8, 96, seed=2)
    w2[:, 7] = 0
    weights = {"w1": weight(6, 3, 3, 3, seed=1), "b1": np.zeros(6), "w2": w2, "b2": np.zeros(8)}
    text = FLAT % (FLATTENED[0], "f", LAST[1])
    assert not compared(model(text, **weights, w4=weight(5, 8, seed=3))).changed
