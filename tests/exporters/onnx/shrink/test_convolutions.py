"""Filters that are constant, and inputs that nothing reads, in chains of convolutions."""

import numpy as np
import onnx
import pytest

CHAIN = """(float[batch,3,7,7] images) => (float[batch,4] logits) {
    a = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(images, w1, b1)
    r = Relu(a)
    b = Conv%s(r, w2, b2)
    s = Relu(b)
    p = GlobalAveragePool(s)
    f = Flatten(p)
    logits = Gemm<transB=1>(f, w3)
}"""
PADDED = "<kernel_shape=[3,3], pads=[1,1,1,1]>"


@pytest.fixture
def chain(model, weight):
    """conv, ReLU, conv, ReLU, pool, linear; `b1` is 0 unless given, `dead` are filters of the first."""

    def make(attributes=PADDED, dead=(1, 2), b1=None, unread=(), kernel=(3, 3), dead2=()):
        bias = np.zeros(8) if b1 is None else b1
        w2 = weight(6, 8, *kernel, seed=2, dead=dead2, unread=unread)
        w1, w3 = weight(8, 3, 3, 3, seed=1, dead=dead), weight(4, 6, seed=3)
        return model(CHAIN % attributes, w1=w1, b1=bias, w2=w2, b2=weight(6, seed=4), w3=w3)

    return make


def test_filters_of_zeros_go_and_what_read_them_with_them(chain, compared, weight_shapes):
    shrunk = compared(chain(dead=(0, 3, 7)))
    assert weight_shapes(shrunk.model) == [(5, 3, 3, 3), (6, 5, 3, 3), (4, 6)]
    assert (shrunk.before.filters, shrunk.after.filters) == (14, 11)
    assert shrunk.before.multiply_adds == 49 * 9 * (3 * 8 + 8 * 6) + 24
    assert shrunk.after.multiply_adds == 49 * 9 * (3 * 5 + 5 * 6) + 24
    assert shrunk.before.parameters == 8 * 27 + 8 + 48 * 9 + 6 + 24
    assert shrunk.after.parameters == 5 * 27 + 5 + 30 * 9 + 6 + 24


def test_channels_that_nothing_reads_go_with_the_filters_that_make_them(chain, compared, weight_shapes):
    assert weight_shapes(compared(chain(dead=(), unread=(4, 5))).model)[:2] == [(6, 3, 3, 3), (6, 6, 3, 3)]


@pytest.mark.parametrize(
    ("attributes", "kernel"),
    [
        ("<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>", (3, 3)),
        ("<kernel_shape=[3,3], strides=[2,1], pads=[0,1,2,0]>", (3, 3)),
        ("<kernel_shape=[3,3], dilations=[2,2], pads=[2,2,2,2]>", (3, 3)),
        ("<kernel_shape=[3,3], dilations=[2,1], strides=[1,2], pads=[1,0,2,1]>", (3, 3)),
        ("<kernel_shape=[5,2], pads=[2,1,2,0]>", (5, 2)),
        ("<kernel_shape=[1,1]>", (1, 1)),
        ("<kernel_shape=[1,1], strides=[2,2], pads=[1,1,1,1]>", (1, 1)),
        ('<kernel_shape=[3,3], auto_pad="VALID">', (3, 3)),
        ("<kernel_shape=[7,7]>", (7, 7)),
    ],
)
@pytest.mark.parametrize("b1", [0.0, 0.5, "each its own"])
def test_constant_channels_are_folded_whatever_stride_dilation_and_padding(
    chain, compared, weight_shapes, attributes, kernel, b1
):
    """With a bias above 0 the dead filters are constants behind the ReLU, and padding cuts them off."""
    bias = np.linspace(-0.3, 1.0, 8) if b1 == "each its own" else np.full(8, b1)
    shrunk = compared(chain(attributes, dead=(1, 2, 5, 6), b1=bias, kernel=kernel))
    assert weight_shapes(shrunk.model)[0][0] in (4, 5)  # five where one stands for the others


def test_without_padding_constants_become_a_bias(chain, compared, weight_shapes, operators):
    model = chain("<kernel_shape=[3,3]>", dead=(1, 2, 5), b1=np.linspace(0.1, 0.8, 8))
    shrunk = compared(model)
    assert weight_shapes(shrunk.model)[:2] == [(5, 3, 3, 3), (6, 5, 3, 3)]
    assert operators(shrunk.model) == operators(model)


def test_at_padded_borders_one_constant_channel_stands_for_all(chain, compared, weight_shapes, operators):
    """Its weights are those of all, by their constants; so borders come out as they did."""
    model = chain(dead=(1, 2, 5), b1=np.linspace(0.1, 0.8, 8))
    shrunk = compared(model)
    assert weight_shapes(shrunk.model)[:2] == [(6, 3, 3, 3), (6, 6, 3, 3)]
    assert operators(shrunk.model) == operators(model)


def test_without_merging_every_weight_is_one_of_the_model(chain, arrays):
    """What needs ternary weights finds them so."""
    from recycle_pipeline.exporters.onnx.shrink import shrink

    model = chain(dead=(1, 2, 5), b1=np.linspace(0.1, 0.8, 8), unread=(0,))
    numbers = {value for name, array in arrays(model).items() if name[0] == "w" for value in array.ravel()}
    for merge in (False, True):
        found = [a for name, a in arrays(shrink(model, merge).model).items() if a.ndim == 4]
        left = {value for array in found for value in array.ravel()}
        assert (left <= numbers) == (not merge)
    assert shrink(model, merge=False).changed


def test_a_constant_below_zero_is_gone_behind_relu(chain, compared, weight_shapes):
    assert weight_shapes(compared(chain(dead=(1, 2), b1=np.full(8, -0.5))).model)[0] == (6, 3, 3, 3)


def test_constants_that_differ_at_borders_become_a_map(model, weight, compared, operators, arrays):
    """Three convolutions: what the second makes of constants alone is no longer the same everywhere."""
    text = """(float[batch,16,6,6] images) => (float[batch,16,6,6] logits) {
        a = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(images, w1, b1)
        r = Relu(a)
        b = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(r, w2)
        logits = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(b, w3)
    }"""
    w2 = weight(64, 64, 3, 3, seed=2)
    w2[8:, :60] = 0  # 56 of its filters read constants alone
    weights = {"w1": weight(64, 16, 3, 3, seed=1, dead=range(60, 64)), "w2": w2}
    weights |= {"w3": weight(16, 64, 3, 3, seed=3), "b1": np.full(64, 0.25)}
    shrunk = compared(model(text, **weights))
    assert operators(shrunk.model).count("Add") == 1
    (found,) = (a for a in arrays(shrunk.model).values() if a.shape == (1, 16, 6, 6))
    assert np.ptp(found, axis=(2, 3)).min() > 0
    assert shrunk.after.parameters < shrunk.before.parameters / 3


def test_a_map_is_not_made_where_it_holds_more_than_it_saves(model, weight, compared, operators):
    text = """(float[batch,1,24,24] images) => (float[batch,2,24,24] logits) {
        a = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(images, w1, b1)
        b = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(a, w2)
        logits = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(b, w3)
    }"""
    w2 = weight(4, 4, 3, 3, seed=2)
    w2[2:, :2] = 0
    weights = {"w1": weight(4, 1, 3, 3, seed=1, dead=(2, 3)), "b1": np.ones(4), "w2": w2}
    shrunk = compared(model(text, **weights, w3=weight(2, 4, 3, 3, seed=3)))
    assert "Add" not in operators(shrunk.model)
    assert shrunk.after.parameters <= shrunk.before.parameters


def test_constants_are_folded_in_float64_and_rounded_once(model, weight, arrays, compared):
    """4,096 constants of 0.1: float32 sums would be off by far more than one rounding."""
    text = """(float[batch,1,1,1] images) => (float[batch,1,1,1] logits) {
        a = Conv(images, w1, b1)
        logits = Conv(a, w2)
    }"""
    w1, w2 = np.zeros((4097, 1, 1, 1)), np.full((1, 4097, 1, 1), 0.3, np.float32)
    w1[0] = 1
    shrunk = compared(model(text, w1=w1, b1=np.full(4097, 0.1, np.float32), w2=w2))
    exact = np.float64(np.float32(0.1)) * np.float64(np.float32(0.3)) * 4096
    assert arrays(shrunk.model)["w2.bias.live"] == np.float32(exact)


def test_a_layer_of_nothing_but_zeros_leaves_one_channel_and_the_same_logits(chain, compared, weight_shapes):
    """There is always something to read for what comes next; the batch stays dynamic."""
    shrunk = compared(chain(dead=range(8), b1=np.full(8, -0.1)))
    assert weight_shapes(shrunk.model) == [(1, 3, 3, 3), (1, 1, 3, 3), (4, 1)]


def test_everything_dead_is_constant_logits(chain, compared):
    shrunk = compared(chain(dead=range(8), dead2=range(6), b1=np.linspace(-1, 1, 8)))
    assert shrunk.after.multiply_adds < shrunk.before.multiply_adds / 10


def test_the_first_layer_reads_all_channels_of_the_images_and_the_last_makes_all_logits(
    model, weight, compared, weight_shapes
):
    text = CHAIN % PADDED
    weights = {"w1": weight(8, 3, 3, 3, seed=1, unread=(0, 2)), "w2": weight(6, 8, 3, 3, seed=2, dead=(1,))}
    weights |= {"w3": weight(4, 6, seed=3, dead=(0, 2)), "b1": np.zeros(8), "b2": np.zeros(6)}
    shrunk = compared(model(text, **weights))
    assert weight_shapes(shrunk.model) == [(8, 3, 3, 3), (5, 8, 3, 3), (4, 5)]


def test_where_nothing_is_dead_the_model_is_the_very_same(chain):
    from recycle_pipeline.exporters.onnx.shrink import shrink

    whole = chain(dead=())
    assert shrink(whole).model is whole
    assert not shrink(whole).changed


@pytest.mark.parametrize(("how", "stay"), [({}, 12), ({"block": 8}, 16), ({"block": 1}, 10)])
def test_more_than_eight_channels_stay_in_fours_or_as_asked(
    model, weight, compared, weight_shapes, how, stay
):
    """ONNX Runtime is slower on other numbers; what stays for that is as dead as before."""
    text = CHAIN.replace("[batch,3,7,7]", "[batch,16,7,7]") % PADDED
    weights = {"w1": weight(17, 16, 3, 3, seed=1, dead=range(7)), "b1": np.zeros(17), "b2": np.zeros(6)}
    whole = model(text, **weights, w2=weight(6, 17, 3, 3, seed=2), w3=weight(4, 6, seed=3))
    assert weight_shapes(compared(whole, **how).model)[:2] == [(stay, 16, 3, 3), (6, stay, 3, 3)]


def test_a_weight_that_two_layers_share_is_cut_for_each(model, weight, compared, weight_shapes):
    text = """(float[batch,4,6,6] images) => (float[batch,2] logits) {
        a = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(images, w, b)
        r = Relu(a)
        c = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(r, w, b)
        p = GlobalAveragePool(c)
        f = Flatten(p)
        logits = Gemm<transB=1>(f, w3)
    }"""
    shared = weight(4, 4, 3, 3, dead=(1, 3))
    shrunk = compared(model(text, w=shared, b=np.zeros(4), w3=weight(2, 4, seed=3)))
    assert weight_shapes(shrunk.model) == [(2, 4, 3, 3), (2, 2, 3, 3), (2, 2)]


def test_a_model_that_would_grow_is_left_as_it_was(model, weight, compared):
    """Of a weight that two layers share, each would get a copy of its own that is hardly smaller."""
    text = """(float[batch,40,3,3] images) => (float[batch,40,3,3] logits) {
        a = Conv<kernel_shape=[1,1]>(images, w, b)
        r = Relu(a)
        logits = Conv<kernel_shape=[1,1]>(r, w, b)
    }"""
    shared = weight(40, 40, 1, 1, dead=(1, 2, 3, 4))
    assert not compared(model(text, w=shared, b=np.zeros(40))).changed


# --- groups ------------------------------------------------------------------------------------

GROUPED = """(float[batch,3,6,6] images) => (float[batch,5,6,6] logits) {
    a = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(images, w1)
    r = Relu(a)
    g = Conv<kernel_shape=[3,3], pads=[1,1,1,1], group=%d>(r, w2)
    s = Relu(g)
    logits = Conv<kernel_shape=[1,1]>(s, w3)
}"""


def groups_of(model: onnx.ModelProto) -> int:
    return onnx.helper.get_node_attr_value(model.graph.node[2], "group")


def test_groups_that_are_wholly_dead_go(model, weight, compared, weight_shapes):
    weights = {"w1": weight(8, 3, 3, 3, seed=1, dead=(2, 3)), "w2": weight(8, 2, 3, 3, seed=2)}
    shrunk = compared(model(GROUPED % 4, **weights, w3=weight(5, 8, 1, 1, seed=3)))
    assert weight_shapes(shrunk.model) == [(6, 3, 3, 3), (6, 2, 3, 3), (5, 6, 1, 1)]
    assert groups_of(shrunk.model) == 3


def test_groups_keep_as_many_channels_as_the_fullest(model, weight, compared, weight_shapes):
    weights = {"w1": weight(8, 3, 3, 3, seed=1, dead=(0, 1, 4)), "w2": weight(8, 4, 3, 3, seed=2)}
    shrunk = compared(model(GROUPED % 2, **weights, w3=weight(5, 8, 1, 1, seed=3, unread=(7,))))
    # Inputs: 2 of the first group and 3 of the second are alive; outputs: 4 and 3.
    assert weight_shapes(shrunk.model) == [(6, 3, 3, 3), (8, 3, 3, 3), (5, 8, 1, 1)]


@pytest.mark.parametrize("multiplier", [1, 2])
def test_depthwise_filters_go_with_their_channels(model, weight, compared, weight_shapes, multiplier):
    weights = {"w1": weight(6, 3, 3, 3, seed=1, dead=(0,))}
    weights |= {"w2": weight(6 * multiplier, 1, 3, 3, seed=2, dead=range(5 * multiplier, 6 * multiplier))}
    shrunk = compared(model(GROUPED % 6, **weights, w3=weight(5, 6 * multiplier, 1, 1, seed=3)))
    left = 4 * multiplier
    assert weight_shapes(shrunk.model) == [(4, 3, 3, 3), (left, 1, 3, 3), (5, left, 1, 1)]
    assert groups_of(shrunk.model) == 4


@pytest.mark.parametrize("group", [2, 6])
def test_constants_into_a_grouped_convolution_come_out_right_at_borders(model, weight, compared, group):
    text = GROUPED.replace("w1)", "w1, b1)")
    weights = {"w1": weight(6, 3, 3, 3, seed=1, dead=(0, 1, 4)), "b1": np.linspace(0.2, 1, 6)}
    weights |= {"w2": weight(6, 6 // group, 3, 3, seed=2)}
    compared(model(text % group, **weights, w3=weight(5, 6, 1, 1, seed=3)))


def test_convolutions_along_one_axis_and_three(model, weight, compared, weight_shapes):
    text = """(float[batch,2,%s] images) => (float[batch,2,%s] logits) {
        a = Conv<kernel_shape=%s, pads=%s>(images, w1, b1)
        r = Relu(a)
        logits = Conv<kernel_shape=%s, pads=%s>(r, w2)
    }"""
    for axes in (1, 3):
        sizes, kernel, pads = ",".join(["5"] * axes), str([3] * axes), str([1] * 2 * axes)
        w1 = weight(6, 2, *[3] * axes, seed=1, dead=(1, 4, 5))
        bias, w2 = np.linspace(-0.5, 1, 6), weight(2, 6, *[3] * axes, seed=2)
        shrunk = compared(model(text % (sizes, sizes, kernel, pads, kernel, pads), w1=w1, b1=bias, w2=w2))
        assert weight_shapes(shrunk.model)[0][0] == 4
