"""Signs drawn within the graph: those of the generator, to the bit."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recycle_pipeline.exporters.onnx.compact.convert import compact
from recycle_pipeline.exporters.onnx.compact.levels import levels_of
from recycle_pipeline.exporters.onnx.compact.seeded import seeded
from recycle_pipeline.models.draws import MAX_SEED, signs_at, stream_key

NAME = "layer0.weight"


def drawn(key, shape, density, flipped=0.0, seed=0, turned=()):
    """A weight whose signs are those of a stream but for some; whole rows of it may be turned round."""
    generator = np.random.default_rng(seed)
    size = int(np.prod(shape))
    negative = signs_at(key, np.arange(size)) ^ (generator.random(size) < flipped)
    kept = generator.random(size) < density
    weight = np.where(kept, np.where(negative, -1.0, 1.0), 0.0).reshape(shape)
    scale = generator.uniform(0.5, 2, (shape[0], *[1] * (len(shape) - 1)))
    scale[list(turned)] *= -1
    return (weight * scale).astype(np.float32)


@pytest.mark.parametrize("flipped", (0.0, 0.01, 0.5))
@pytest.mark.parametrize("density", (0.01, 0.1, 0.3))
def test_weights_are_equal_to_the_bit(made, density, flipped):
    key = stream_key(11, "layer0")
    weight = drawn(key, (400, 90, 3, 3), density, flipped)
    model = made.model(weight)
    [packed] = compact(model, {NAME: key})
    onnx.checker.check_model(model, full_check=True)
    assert packed.way.startswith("seed") == (flipped < 0.5 and density > 0.01)
    assert np.array_equal(made.unpacked(model, 1)[0], weight)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, MAX_SEED),
    layer=st.text(max_size=5),
    rows=st.integers(1, 5),
    density=st.floats(0.05, 0.4),
    flipped=st.sampled_from((0.0, 0.02)),
)
def test_any_stream_is_drawn_to_the_bit(made, seed, layer, rows, density, flipped):
    key = stream_key(seed, layer)
    weight = drawn(key, (rows, 400_000 // rows), density, flipped, seed=rows)
    model = made.model(weight)
    [packed] = compact(model, {NAME: key})
    assert packed.way.startswith("seed")
    assert np.array_equal(made.unpacked(model, 1)[0], weight)


def test_places_beyond_the_reach_of_16_and_24_bits_are_drawn_right(made):
    key = stream_key(3, "big")
    weight = drawn(key, (4200, 4100), 0.02, 0.01)
    assert weight.size > 2**24
    model = made.model(weight)
    [packed] = compact(model, {NAME: key})
    assert packed.way == "seed, gaps of 7 bits"
    assert np.array_equal(made.unpacked(model, 1)[0], weight)


def test_rows_that_a_negative_gamma_turned_round_cost_nothing(made):
    key = stream_key(0, "layer0")
    straight = drawn(key, (400, 810), 0.2)
    turned = drawn(key, (400, 810), 0.2, turned=(3, 50, 399))
    sizes = []
    for weight in (straight, turned):
        model = made.model(weight)
        [packed] = compact(model, {NAME: key})
        assert packed.way.startswith("seed")
        assert np.array_equal(made.unpacked(model, 1)[0], weight)
        sizes.append(packed.bytes)
    assert sizes[0] == sizes[1]


def test_flips_are_those_that_differ_from_the_stream():
    key = stream_key(0, "layer0")
    weight = drawn(key, (10, 500), 0.3, 0.05)
    found = seeded(levels_of(weight), key)
    places = np.flatnonzero(weight)
    expected = (weight.reshape(-1)[places] < 0) ^ signs_at(key, places)
    assert np.array_equal(found.flipped, expected) and (found.scale > 0).all()


def test_weights_of_another_stream_are_packed_without_it(made):
    weight = drawn(stream_key(0, "layer0"), (400, 810), 0.2)
    model = made.model(weight)
    [packed] = compact(model, {NAME: stream_key(1, "layer0")})
    assert packed.way == "gaps of 3 bits"
    assert np.array_equal(made.unpacked(model, 1)[0], weight)


def test_one_magnitude_for_the_whole_weight_and_other_values_work_with_a_key_too(made):
    key = stream_key(0, "layer0")
    one = np.sign(drawn(key, (400, 810), 0.2)).astype(np.float32)
    other = made.weight((400, 810), 0.2, "values")
    for weight, way in ((one, "seed"), (other, "values")):
        model = made.model(weight)
        [packed] = compact(model, {NAME: key})
        assert packed.way.startswith(way)
        assert np.array_equal(made.unpacked(model, 1)[0], weight)
