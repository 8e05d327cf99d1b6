"""Signs drawn within the graph: those of the generator, to the bit."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recycle_pipeline.exporters.onnx.compact import convert, packings
from recycle_pipeline.exporters.onnx.compact.convert import compact
from recycle_pipeline.exporters.onnx.compact.drawn import Drawn
from recycle_pipeline.exporters.onnx.compact.levels import levels_of
from recycle_pipeline.exporters.onnx.compact.seeded import seeded
from recycle_pipeline.models.draws import MAX_SEED, signs_at, stream_key

NAME = "layer0.weight"


@pytest.fixture(autouse=True, scope="module")
def any_number_of_signs():
    """But where the limit is what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packings, "DRAWN_MOST", 1.0)
        yield


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
@pytest.mark.parametrize("density", (0.01, 0.1, 0.3, 1.0))
def test_weights_are_equal_to_the_bit(made, density, flipped):
    key = stream_key(11, "layer0")
    weight = drawn(key, (400, 90, 3, 3), density, flipped)
    model = made.model(weight)
    [packed] = compact(model, {NAME: Drawn(key, weight.shape)})
    onnx.checker.check_model(model, full_check=True)
    assert packed.way.startswith("seed") == (flipped < 0.5 and density > 0.01)
    assert np.array_equal(made.unpacked(model, 1)[0], weight)


@pytest.mark.parametrize(("flipped", "way"), [(0.1, "seed, gaps of 4 bits"), (0.35, "gaps of 5 bits")])
def test_signs_are_drawn_only_where_that_saves_more_than_it_takes_to_load(made, flipped, way):
    key = stream_key(11, "layer0")
    weight = drawn(key, (400, 90, 3, 3), 0.1, flipped)
    [packed] = compact(made.model(weight), {NAME: Drawn(key, weight.shape)})
    [alone] = compact(made.model(weight))
    assert packed.way == way
    assert (packed.bytes < alone.bytes * (1 - packings.DRAWING_SAVES)) == way.startswith("seed")


@pytest.mark.parametrize(
    ("most", "ways"),
    [(0.1, ("seed", "seed", "seed")), (0.06, ("seed", "gaps", "seed")), (0.03, ("gaps", "gaps", "seed"))],
)
def test_a_large_network_draws_the_signs_that_save_most_and_no_more_than_memory_allows(
    made, monkeypatch, most, ways
):
    """What is flipped, of three layers alike: 1 %, 5 %, nothing."""
    monkeypatch.setattr(packings, "DRAWN_MOST", most)
    monkeypatch.setattr(packings, "DRAWN_ALWAYS", 1000)
    keys = [stream_key(11, f"layer{number}") for number in range(3)]
    flipped = (0.01, 0.05, 0.0)
    weights = [drawn(key, (300, 300, 3, 3), 0.08, part) for key, part in zip(keys, flipped, strict=True)]
    model = made.model(*weights)
    streams = {f"layer{n}.weight": Drawn(key, weights[n].shape) for n, key in enumerate(keys)}
    found = compact(model, streams)
    assert tuple(packed.way.split(",")[0].split()[0] for packed in found) == ways
    for unpacked, weight in zip(made.unpacked(model, 3), weights, strict=True):
        assert np.array_equal(unpacked, weight)


def test_a_small_network_may_draw_all_its_signs(made, monkeypatch):
    monkeypatch.setattr(packings, "DRAWN_MOST", 0.05)
    key = stream_key(11, "layer0")
    weight = drawn(key, (80, 90, 3, 3), 0.5)
    [packed] = compact(made.model(weight), {NAME: Drawn(key, weight.shape)})
    assert packed.way.startswith("seed") and packed.size < packings.DRAWN_ALWAYS


@pytest.mark.parametrize(("most", "draws"), [(1.0, True), (0.6, False)])
def test_codes_of_no_weight_take_memory_too(made, monkeypatch, most, draws):
    monkeypatch.setattr(packings, "DRAWN_MOST", most)
    monkeypatch.setattr(packings, "DRAWN_ALWAYS", 1000)
    key = stream_key(11, "layer0")
    weight = drawn(key, (300, 300, 3, 3), 0.5)
    [packed] = compact(made.model(weight), {NAME: Drawn(key, weight.shape)})
    assert packed.kept < 0.6 * packed.size, "signs alone would be within both"
    assert packed.way.startswith("seed") == draws


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
    [packed] = compact(model, {NAME: Drawn(key, weight.shape)})
    assert packed.way.startswith("seed")
    assert np.array_equal(made.unpacked(model, 1)[0], weight)


def test_places_beyond_the_reach_of_16_and_24_bits_are_drawn_right(made):
    key = stream_key(3, "big")
    weight = drawn(key, (4200, 4100), 0.02, 0.01)
    assert weight.size > 2**24
    model = made.model(weight)
    [packed] = compact(model, {NAME: Drawn(key, weight.shape)})
    assert packed.way == "seed, gaps of 7 bits"
    assert np.array_equal(made.unpacked(model, 1)[0], weight)


def test_rows_that_a_negative_gamma_turned_round_cost_nothing(made):
    key = stream_key(0, "layer0")
    straight = drawn(key, (400, 810), 0.2)
    turned = drawn(key, (400, 810), 0.2, turned=(3, 50, 399))
    sizes = []
    for weight in (straight, turned):
        model = made.model(weight)
        [packed] = compact(model, {NAME: Drawn(key, weight.shape)})
        assert packed.way.startswith("seed")
        assert np.array_equal(made.unpacked(model, 1)[0], weight)
        sizes.append(packed.bytes)
    assert sizes[0] == sizes[1]


def test_flips_are_those_that_differ_from_the_stream():
    key = stream_key(0, "layer0")
    weight = drawn(key, (10, 500), 0.3, 0.05)
    found = seeded(levels_of(weight), Drawn(key, weight.shape))
    places = np.flatnonzero(weight)
    expected = (weight.reshape(-1)[places] < 0) ^ signs_at(key, places)
    assert np.array_equal(found.flipped, expected) and (found.scale > 0).all()


def test_weights_of_another_stream_are_packed_without_it(made):
    weight = drawn(stream_key(0, "layer0"), (400, 810), 0.2)
    model = made.model(weight)
    [packed] = compact(model, {NAME: Drawn(stream_key(1, "layer0"), weight.shape)})
    assert packed.way == "gaps of 3 bits"
    assert np.array_equal(made.unpacked(model, 1)[0], weight)


def test_one_magnitude_for_the_whole_weight_and_other_values_work_with_a_key_too(made):
    key = stream_key(0, "layer0")
    one = np.sign(drawn(key, (400, 810), 0.2)).astype(np.float32)
    other = made.weight((400, 810), 0.2, "values")
    for weight, way in ((one, "seed"), (other, "values")):
        model = made.model(weight)
        [packed] = compact(model, {NAME: Drawn(key, weight.shape)})
        assert packed.way.startswith(way)
        assert np.array_equal(made.unpacked(model, 1)[0], weight)


def several():
    """Weights of streams of their own, some signs flipped, and where each was drawn."""
    shapes = [(40, 90, 3, 3), (64, 300), (120, 64, 1, 1), (50, 90, 3, 3)]
    keys = [stream_key(7, f"layer{number}") for number in range(len(shapes))]
    pairs = list(zip(keys, shapes, strict=True))
    weights = [drawn(key, shape, 0.2, 0.02, seed) for seed, (key, shape) in enumerate(pairs)]
    where = {f"layer{number}.weight": Drawn(key, shape) for number, (key, shape) in enumerate(pairs)}
    return weights, where


@pytest.mark.parametrize("together", (1, 40_000, 1 << 26))
def test_weights_of_several_streams_are_drawn_together(made, together, monkeypatch):
    monkeypatch.setattr(convert, "TOGETHER", together)
    monkeypatch.setattr(packings, "DRAWING_BYTES", 0)
    weights, where = several()
    model = made.model(*weights)
    found = compact(model, where)
    onnx.checker.check_model(model, full_check=True)
    assert all(packed.way.startswith("seed") for packed in found)
    for weight, got in zip(weights, made.unpacked(model, len(weights)), strict=True):
        assert np.array_equal(got, weight)


@pytest.mark.parametrize(
    ("rows", "columns"), [(None, [0, 3, 4, 80, 89]), ([1, 2, 39, 70], None), (range(5, 397), range(3, 90))]
)
def test_what_is_left_of_a_shrunk_weight_is_drawn_where_it_was(made, rows, columns, monkeypatch):
    monkeypatch.setattr(packings, "DRAWING_BYTES", 0)
    monkeypatch.setattr(packings, "DECODER_BYTES", 0)
    monkeypatch.setattr(packings, "MEMBER_BYTES", 0)
    key = stream_key(0, "layer0")
    whole = drawn(key, (400, 90, 3, 3), 0.3)
    left = [None if each is None else np.array(each, np.int32) for each in (rows, columns)]
    weight = whole if rows is None else whole[left[0]]
    weight = np.ascontiguousarray(weight if columns is None else weight[:, left[1]])
    # Everything else of the drawn weight was dead.
    found = seeded(levels_of(weight), Drawn(key, whole.shape, *left))
    assert not found.flipped.any()
    model = made.model(weight)
    [packed] = compact(model, {NAME: Drawn(key, whole.shape, *left)})
    onnx.checker.check_model(model, full_check=True)
    assert packed.way.startswith("seed") or columns != range(3, 90)
    assert np.array_equal(made.unpacked(model, 1)[0], weight)


def test_a_weight_that_does_not_fit_where_it_was_drawn_is_packed_without_it(made):
    key = stream_key(0, "layer0")
    weight = drawn(key, (400, 810), 0.2)
    model = made.model(weight)
    [packed] = compact(model, {NAME: Drawn(key, (400, 900))})
    assert packed.way == "gaps of 3 bits"
