"""Shortcuts: channels that both sides agree on, and branches that die as a whole."""

import numpy as np
import pytest

BLOCK = """(float[batch,6,5,5] images) => (float[batch,3] logits) {
    x = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(images, w0, b0)
    rx = Relu(x)
    a = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(rx, w1, b1)
    ra = Relu(a)
    b = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(ra, w2, b2)
    %s
    y = Relu(s)
    p = ReduceMean<keepdims=0>(y, axes)
    logits = Gemm<transB=1>(p, w3)
}"""
IDENTITY = "s = Add(b, rx)"
PROJECTION = "c = Conv(rx, wc, bc) s = Add(c, b)"


@pytest.fixture
def block(model, weight):
    """conv, then a residual block of six channels; `bias` is that of every convolution."""

    def make(shortcut=IDENTITY, bias=0.0, dead0=(), dead1=(), dead2=(), deadc=(), unread=()):
        weights = {"w0": weight(6, 6, 3, 3, seed=1, dead=dead0), "w1": weight(6, 6, 3, 3, seed=2, dead=dead1)}
        weights |= {"w2": weight(6, 6, 3, 3, seed=3, dead=dead2), "w3": weight(3, 6, seed=4, unread=unread)}
        weights |= {name: np.full(6, bias) for name in ("b0", "b1", "b2")} | {"axes": np.array([2, 3])}
        if "wc" in shortcut:
            weights |= {"wc": weight(6, 6, 1, 1, seed=5, dead=deadc), "bc": np.full(6, bias)}
        return model(BLOCK % shortcut, **weights)

    return make


def test_a_channel_stays_on_both_sides_of_a_sum_where_one_of_them_lives(block, compared, weight_shapes):
    shrunk = compared(block(dead0=(0, 1), dead2=(1, 2)))
    # Channel 1 is dead on both sides; 0 and 2 on one.
    assert weight_shapes(shrunk.model) == [(5, 6, 3, 3), (6, 5, 3, 3), (5, 6, 3, 3), (3, 5)]


@pytest.mark.parametrize("bias", [0.0, 0.3])
def test_the_inside_of_a_block_is_free_of_its_outside(block, compared, weight_shapes, bias):
    shrunk = compared(block(dead1=(0, 1, 2, 3), bias=bias))
    inside = 2 + (bias > 0)  # a constant that stands for the others at borders
    assert weight_shapes(shrunk.model)[1:3] == [(inside, 6, 3, 3), (6, inside, 3, 3)]


@pytest.mark.parametrize(
    "dead", [{"dead2": range(6)}, {"dead1": range(6)}, {"dead1": range(6), "bias": -0.2}]
)
def test_a_dead_branch_goes_without_a_trace(block, compared, operators, dead):
    shrunk = compared(block(**dead))
    left = operators(shrunk.model)
    assert left.count("Conv") == 1
    assert left.count("Add") == (1 if "bias" in dead else 0)  # the constant that it was, -0.2


def test_a_dead_branch_beside_a_projection_goes_into_its_bias(block, compared, operators):
    shrunk = compared(block(PROJECTION, dead2=range(6), bias=0.4))
    assert operators(shrunk.model) == ["Conv", "Relu", "Conv", "Relu", "ReduceMean", "Gemm"]


def test_a_dead_shortcut_goes_into_the_branch(block, compared, operators):
    shrunk = compared(block(PROJECTION, deadc=range(6), bias=0.4))
    assert operators(shrunk.model).count("Conv") == 3
    assert "Add" not in operators(shrunk.model)


def test_a_branch_whose_constants_differ_at_borders_becomes_a_map(block, compared, operators, arrays):
    """The first convolution inside is dead but for its bias, which the second one pads with zeros."""
    shrunk = compared(block(dead1=range(6), bias=0.5))
    assert operators(shrunk.model).count("Conv") == 1
    assert (1, 6, 5, 5) in {array.shape for array in arrays(shrunk.model).values()}


def test_both_sides_dead_is_constant_logits(block, compared):
    shrunk = compared(block(PROJECTION, dead0=range(6), bias=0.3))
    assert shrunk.after.multiply_adds < shrunk.before.multiply_adds / 5


def test_what_the_classifier_does_not_read_goes_on_both_sides(block, compared, weight_shapes):
    shrunk = compared(block(PROJECTION, unread=(0, 5)))
    assert weight_shapes(shrunk.model)[2:] == [(4, 6, 3, 3), (4, 6, 1, 1), (3, 4)]


def test_a_tensor_that_is_also_an_output_keeps_all_channels(model, weight, compared, weight_shapes):
    text = """(float[batch,2,4,4] images) => (float[batch,4,4,4] a, float[batch,3,4,4] b) {
        a = Conv<kernel_shape=[1,1]>(images, w1)
        r = Relu(a)
        b = Conv<kernel_shape=[1,1]>(r, w2)
    }"""
    weights = {"w1": weight(4, 2, 1, 1, seed=1, dead=(0,)), "w2": weight(3, 4, 1, 1, seed=2)}
    assert not compared(model(text, **weights)).changed


def test_a_sum_of_a_tensor_with_itself(model, weight, compared, weight_shapes):
    text = """(float[batch,2,4,4] images) => (float[batch,3,4,4] logits) {
        a = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(images, w1)
        d = Add(a, a)
        logits = Conv<kernel_shape=[1,1]>(d, w2)
    }"""
    shrunk = compared(model(text, w1=weight(5, 2, 3, 3, seed=1, dead=(0, 4)), w2=weight(3, 5, 1, 1, seed=2)))
    assert weight_shapes(shrunk.model) == [(3, 2, 3, 3), (3, 3, 1, 1)]


def test_channels_side_by_side_stay_apart(model, weight, compared, weight_shapes):
    text = """(float[batch,2,4,4] images) => (float[batch,3,4,4] logits) {
        a = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(images, w1, b1)
        b = Conv<kernel_shape=[1,1]>(images, w2)
        c = Concat<axis=1>(a, b, a)
        logits = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(c, w3)
    }"""
    weights = {"w1": weight(4, 2, 3, 3, seed=1, dead=(0, 3)), "b1": np.array([0.5, 0, 0, 0])}
    weights |= {"w2": weight(3, 2, 1, 1, seed=2, dead=(1,)), "w3": weight(3, 11, 3, 3, seed=3)}
    shrunk = compared(model(text, **weights))
    # Of `a` stay two and the constant, which cannot be a bias at padded borders.
    assert weight_shapes(shrunk.model) == [(3, 2, 3, 3), (2, 2, 1, 1), (3, 8, 3, 3)]
