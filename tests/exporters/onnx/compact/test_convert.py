"""Models before and after packing, under onnxruntime."""

import math

import numpy as np
import onnx
import onnx.reference
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from recycle_pipeline.exporters.onnx.compact import convert
from recycle_pipeline.exporters.onnx.compact.convert import compact
from recycle_pipeline.exporters.onnx.compact.levels import levels_of
from recycle_pipeline.exporters.onnx.compact.member import Member
from recycle_pipeline.exporters.onnx.compact.packings import (
    DECODER_BYTES,
    ENTRY_PRICE,
    MEMBER_BYTES,
    costs_of,
)

KINDS = ("one level", "a level each", "values")
SHAPES = [(64, 3, 3, 3), (5, 70, 1, 1), (33, 129), (7, 1, 40, 40), (1, 4001), (4001, 1)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("density", (0.0, 0.003, 0.02, 0.1, 0.3, 0.6, 1.0))
def test_weights_are_equal_to_the_bit(made, shape, kind, density):
    weight = made.weight(shape, density, kind)
    model = made.model(weight)
    [packed] = compact(model)
    onnx.checker.check_model(model, full_check=True)
    if packed.way == "plain":
        assert np.array_equal(numpy_helper.to_array(model.graph.initializer[0]), weight)
        return
    assert np.array_equal(made.unpacked(model, 1)[0].view(np.uint32), (weight + 0.0).view(np.uint32))


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 40),
    columns=st.integers(40, 400),
    density=st.floats(0, 1),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_weight_is_equal_to_the_bit(made, rows, columns, density, kind, seed):
    weight = made.weight((rows, columns), density, kind, seed)
    model = made.model(weight)
    compact(model)
    if "layer0.weight" not in {item.name for item in model.graph.initializer}:
        assert np.array_equal(made.unpacked(model, 1)[0], weight)


@pytest.mark.parametrize("place", (0, 1, 126, 127, 128, 254, 2_000_000, 3_999_999))
def test_one_kept_weight_in_four_million_is_found_across_its_gap(made, place):
    weight = np.zeros((2000, 2000), np.float32)
    weight.reshape(-1)[place] = -1.5
    model = made.model(weight)
    [packed] = compact(model)
    assert packed.kept == 1 and packed.bytes < 40_000
    assert np.array_equal(made.unpacked(model, 1)[0], weight)


@pytest.mark.parametrize(
    ("density", "kind", "price", "way", "share"),
    [
        (0.1, "a level each", 0.0, "gaps", 0.081),
        (0.1, "a level each", 10.0, "bytes", 0.11),
        (0.6, "one level", 0.0, "trits", 0.201),
        (0.1, "values", 0.0, "values", 0.48),
    ],
)
def test_several_million_weights(made, density, kind, price, way, share):
    weight = made.weight((2048, 512, 3, 3), density, kind)
    model = made.model(weight)
    [packed] = compact(model, entry_price=price)
    assert packed.way.startswith(way) and packed.bytes < share * weight.size
    assert np.array_equal(made.unpacked(model, 1)[0], weight)


@pytest.mark.parametrize("level", ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_ALL"))
def test_what_a_model_computes_is_the_same_at_every_level_of_optimisation(made, level):
    model = made.model(*(made.weight(shape, 0.2, "a level each") for shape in SHAPES[:3]))
    before = made.session(model, getattr(onnxruntime.GraphOptimizationLevel, level)).run(
        None, made.images(model)
    )
    compact(model)
    after = made.session(model, getattr(onnxruntime.GraphOptimizationLevel, level)).run(
        None, made.images(model)
    )
    # Without folding, a matrix that is computed is not multiplied by the routine for constant ones.
    tolerance = 1e-5 if level == "ORT_DISABLE_ALL" else 0.0
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def test_onnxs_own_evaluator_unpacks_the_same(made):
    weight = made.weight((40, 50), 0.2, "a level each")
    model = made.model(weight)
    compact(model)
    model.graph.output.append(helper.make_tensor_value_info("layer0.weight", TensorProto.FLOAT, None))
    found = onnx.reference.ReferenceEvaluator(model).run(["layer0.weight"], made.images(model))[0]
    assert np.array_equal(found, weight)


@pytest.mark.parametrize("density", (0.02, 0.05, 0.1, 0.2, 0.3))
@pytest.mark.parametrize("price", (0.0, ENTRY_PRICE))
def test_no_shift_loses_a_bit(made, density, price):
    """OpenVINO rounds those below to the nearest, and keeps those above."""
    model = made.model(made.weight((100, 400), density, "one level"))
    compact(model, entry_price=price)
    shifts = [node for node in model.graph.node if node.op_type == "BitShift"]
    names = [name for node in shifts for name in (*node.input, *node.output)]
    for name in sorted(set(names)):
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.UINT8, None))
    found = dict(zip(names, made.session(model).run(names, made.images(model)), strict=True)) if names else {}
    for node in shifts:
        (values, by), down = (found[name] for name in node.input), node.attribute[0].s == b"RIGHT"
        shifted = found[node.output[0]]
        assert ((shifted << by if down else shifted >> by) == values).all() and values.any()


@pytest.mark.parametrize(
    ("density", "kind", "way"),
    [
        (0.9, "one level", "trits"),
        (0.1, "a level each", "gaps of 5 bits"),
        (0.01, "one level", "gaps of 7 bits"),
        (0.1, "values", "values, gaps of 6 bits"),
        (1.0, "values", "plain"),
    ],
)
def test_the_smallest_way_is_taken(made, density, kind, way):
    weight = made.weight((100, 400), density, kind)
    model = made.model(weight)
    before = len(model.SerializeToString())
    [packed] = compact(model)
    assert packed.way == way
    assert (packed.size, packed.kept) == (weight.size, np.count_nonzero(weight))
    size = len(model.SerializeToString())
    assert size <= before
    if way != "plain":
        assert 0.4 < (size - packed.bytes) / (DECODER_BYTES + MEMBER_BYTES) < 1.2


@pytest.mark.parametrize(
    ("density", "kind", "price", "way", "share"),
    [
        (0.1, "a level each", 0.0, "gaps of 5 bits", 0.09),
        (0.1, "a level each", ENTRY_PRICE, "bytes", 0.112),
        (0.4, "one level", ENTRY_PRICE, "trits", 0.201),
        (0.01, "one level", ENTRY_PRICE, "gaps of 7 bits", 0.016),
        (0.06, "one level", 10.0, "bytes", 0.07),
        (0.1, "values", 10.0, "values, gaps of 6 bits", 0.48),
    ],
)
def test_whole_bytes_are_taken_where_bits_cost_more_than_they_save(made, density, kind, price, way, share):
    weight = made.weight((500, 400), density, kind)
    model = made.model(weight)
    [packed] = compact(model, entry_price=price)
    onnx.checker.check_model(model, full_check=True)
    assert packed.way == way and packed.bytes < share * weight.size
    assert np.array_equal(made.unpacked(model, 1)[0], weight)


def test_a_magnitude_without_a_64th_is_not_packed_in_bytes(made):
    weight = made.weight((500, 400), 0.1, "one level") * np.float32(3e-45)
    model = made.model(weight)
    [packed] = compact(model, entry_price=10.0)
    assert packed.way == "trits" and weight.any()
    assert np.array_equal(made.unpacked(model, 1)[0], weight)


def test_integers_of_64_are_packed_in_bytes_and_others_are_not(made):
    costs = {
        level: costs_of(Member("", weight, levels_of(weight)))
        for level in (1, 32, 64, 77)
        for weight in [np.eye(300, dtype=np.int8) * np.int8(level)]
    }
    assert [level for level, found in costs.items() if any(way.kind == "bytes" for way in found)] == [64]


@pytest.mark.parametrize(
    ("levels", "density", "way"),
    [
        ((-64, 64), 0.15, "gaps of 4 bits"),
        ((-64, 64), 0.9, "trits"),
        ((-1, 1), 0.15, "gaps of 4 bits"),
        ((-77, 77), 0.15, "values, gaps of 5 bits"),  # no power of two
        (range(-127, 128), 0.15, "values, gaps of 5 bits"),
    ],
)
def test_weights_of_int8_are_packed_for_what_dequantizes_them(made, levels, density, way):
    generator = np.random.default_rng(0)
    kept = generator.random((180, 90)) < density
    weight = np.where(kept, generator.choice(levels, (180, 90)), 0).astype(np.int8)
    model = made.model(made.weight((180, 90), 0.1, "one level"))
    del model.graph.initializer[:]
    model.graph.initializer.append(numpy_helper.from_array(weight, "quantized"))
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0.01), "step"))
    model.graph.node.insert(0, helper.make_node("DequantizeLinear", ["quantized", "step"], ["layer0.weight"]))
    before = made.session(model).run(None, made.images(model))
    for price in (10.0, 0.0):
        one = onnx.ModelProto()
        one.CopyFrom(model)
        [packed] = compact(one, entry_price=price)
        onnx.checker.check_model(one, full_check=True)
        assert np.array_equal(made.session(one).run(None, made.images(one))[0], before[0])
    assert packed.way == way and packed.bytes < 0.31 * weight.nbytes


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 60), st.integers(1, 200)),
    kept=st.sampled_from(("nothing", "one", "all")) | st.floats(0, 1),
    level=st.sampled_from((1, 64, 77, None)),
    price=st.sampled_from((0.0, ENTRY_PRICE, 10.0)),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_weight_of_int8_is_equal_to_the_bit(made, shape, kept, level, price, seed):
    """Of one magnitude, or of any; nothing kept, one, all."""
    generator = np.random.default_rng(seed)
    mask = np.full(shape, kept == "all")
    if kept == "one":
        mask.reshape(-1)[generator.integers(mask.size)] = True
    elif isinstance(kept, float):
        mask = generator.random(shape) < kept
    values = generator.choice([-1, 1], shape) * (level or generator.integers(1, 128, shape))
    weight = np.where(mask, values, 0).astype(np.int8)
    model = made.model(np.zeros(shape, np.float32))
    del model.graph.initializer[:]
    model.graph.initializer.append(numpy_helper.from_array(weight, "quantized"))
    model.graph.initializer.append(numpy_helper.from_array(np.float32(1), "step"))
    model.graph.node.insert(0, helper.make_node("DequantizeLinear", ["quantized", "step"], ["layer0.weight"]))
    compact(model, entry_price=price)
    if "quantized" not in {item.name for item in model.graph.initializer}:
        model.graph.output.append(helper.make_tensor_value_info("quantized", TensorProto.INT8, shape))
        found = made.session(model).run(["quantized"], made.images(model))[0]
        assert found.dtype == np.int8 and np.array_equal(found, weight)


MANY = [
    *((shape, density) for shape in SHAPES for density in (0.1, 0.4, 1.0)),
    *(((64, 40, 3, 3), density) for density in (0.0, 0.002, 0.9)),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("together", (1, 30_000, 1 << 26))
def test_weights_that_are_unpacked_together_are_each_equal_to_the_bit(made, kind, together, monkeypatch):
    """Nothing kept, little, all of it, side by side in one decoder, in several, and in one for each."""
    monkeypatch.setattr(convert, "TOGETHER", together)
    weights = [made.weight(shape, density, kind, seed) for seed, (shape, density) in enumerate(MANY)]
    weights.append(np.zeros((50, 90), np.float32))
    weights.append(np.eye(1, 4500, 4499, dtype=np.float32).reshape(50, 90))
    model = made.model(*weights)
    found = compact(model)
    onnx.checker.check_model(model, full_check=True)
    assert len({packed.way for packed in found if packed.way != "plain"}) > 1
    after = made.unpacked(model, len(weights))
    for weight, packed, got in zip(weights, found, after, strict=True):
        assert packed.way == "plain" or np.array_equal(got, weight)


@settings(max_examples=30, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 60), st.integers(60, 200)), min_size=1, max_size=5),
    densities=st.lists(st.sampled_from((0.0, 0.01, 0.05, 0.2, 0.5, 1.0)), min_size=5, max_size=5),
    kinds=st.lists(st.sampled_from(KINDS), min_size=5, max_size=5),
    seed=st.integers(0, 2**32 - 1),
    price=st.sampled_from((0.0, ENTRY_PRICE, 10.0)),
)
def test_any_weights_together_are_equal_to_the_bit(made, shapes, densities, kinds, seed, price):
    weights = [
        made.weight(shape, density, kind, seed + number)
        for number, (shape, density, kind) in enumerate(zip(shapes, densities, kinds, strict=False))
    ]
    model = made.model(*weights)
    found = compact(model, entry_price=price)
    for weight, packed, got in zip(weights, found, made.unpacked(model, len(weights)), strict=True):
        assert packed.way == "plain" or np.array_equal(got, weight)


def test_ways_that_few_weights_would_take_are_given_up_for_those_of_the_others(made):
    """A decoder costs bytes and time: 30 weights of one density, and one that would be smaller by a few."""
    most = [made.weight((60, 100), 0.1, "one level", seed) for seed in range(30)]
    other = made.weight((60, 100), 0.2, "one level")
    [alone] = compact(made.model(other))
    found = compact(made.model(*most, other))
    assert alone.way == "gaps of 3 bits"
    assert {packed.way for packed in found} == {"gaps of 4 bits"}


def test_small_integer_and_infinite_weights_stay_as_they_are(made):
    tiny, infinite = made.weight((4, 5), 0.1, "one level"), made.weight((100, 100), 0.1, "one level")
    infinite[3, 4] = math.inf
    model = made.model(tiny, infinite)
    integers = numpy_helper.from_array(np.zeros((64, 64), np.int32), "integers")
    model.graph.initializer.append(integers)
    before = model.SerializeToString()
    assert [packed.way for packed in compact(model)] == ["plain", "plain"]
    assert model.SerializeToString() == before


def test_a_weight_that_two_operators_read_is_unpacked_once(made):
    weight = made.weight((60, 60), 0.1, "one level")
    model = made.model(weight)
    model.graph.node.append(helper.make_node("MatMul", ["y0", "layer0.weight"], ["again"]))
    model.graph.output.append(helper.make_tensor_value_info("again", TensorProto.FLOAT, (1, 60)))
    before = made.session(model).run(None, made.images(model))
    assert len(compact(model)) == 1
    after = made.session(model).run(None, made.images(model))
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


def test_a_weight_that_is_an_input_too_stays(made):
    model = made.model(made.weight((60, 60), 0.1, "one level"))
    model.graph.input.append(helper.make_tensor_value_info("layer0.weight", TensorProto.FLOAT, (60, 60)))
    assert compact(model) == []


def test_names_that_the_model_has_already_are_left_to_it(made):
    weight = made.weight((60, 60), 0.1, "one level")
    model = made.model(weight)
    for name in ("u1/0/scale", "u1/packed4", "unpack/constant0"):
        model.graph.initializer.append(numpy_helper.from_array(np.ones(1, np.float32), name))
    compact(model)
    onnx.checker.check_model(model, full_check=True)
    assert np.array_equal(made.unpacked(model, 1)[0], weight)


def test_the_unpacking_says_in_the_graph_what_it_is(made):
    model = made.model(made.weight((100, 400), 0.1, "one level"))
    [packed] = compact(model)
    [node] = [node for node in model.graph.node if node.output[0] == "layer0.weight"]
    assert node.name == "unpack layer0.weight"
    assert node.doc_string == f"{packed.kept} of 40000 weights kept, as gaps of 5 bits"
