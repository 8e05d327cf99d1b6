"""Forms that would be no smaller than what they take the place of: refused, with the bytes of both."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from recycle_pipeline.exporters.onnx.compact.convert import compact
from recycle_pipeline.exporters.onnx.compact.drawn import Drawn
from recycle_pipeline.exporters.onnx.dense import stamp, to_onnx
from recycle_pipeline.exporters.onnx.forms import Dense, write_form
from recycle_pipeline.models.draws import signs_at, stream_key
from recycle_pipeline.models.errors import RecycleError


@pytest.fixture(scope="module")
def small_model(small, small_spec):
    model = to_onnx(small, small_spec())
    stamp(model, {})
    return model


def images():
    return [np.random.default_rng(0).standard_normal((8, 3, 4, 4)).astype(np.float32)]


@pytest.mark.parametrize(("form", "plain"), [("onnx-compact", "onnx"), ("onnx-compact-int8", "onnx-int8")])
def test_a_compact_form_that_packs_nothing_is_refused(form, plain, small_model, tmp_path):
    with pytest.raises(RecycleError, match=rf"{form}: takes [\d,]+ bytes .* and {plain} [\d,]+; choose"):
        write_form(form, Dense(small_model, {}, images), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_seed_form_that_draws_no_sign_is_refused(ternary_model, tmp_path):
    weights = [item for item in ternary_model.graph.initializer if len(item.dims) == 4]
    streams = {item.name: Drawn(stream_key(5, "another"), tuple(item.dims)) for item in weights}
    with pytest.raises(RecycleError, match="onnx-seed: no weight takes fewer bytes with its signs drawn"):
        write_form("onnx-seed", Dense(ternary_model, streams, list), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def drawn_of(model, count):
    """A copy of a model whose largest weights have the signs of streams; and where they were drawn."""
    found, streams = onnx.ModelProto(), {}
    found.CopyFrom(model)
    for item in sorted(found.graph.initializer, key=lambda item: -len(item.raw_data))[:count]:
        weight, key = numpy_helper.to_array(item), stream_key(0, item.name)
        signs = np.where(signs_at(key, np.arange(weight.size)), -1, 1).reshape(weight.shape)
        item.CopyFrom(numpy_helper.from_array((np.abs(weight) * signs).astype(np.float32), item.name))
        streams[item.name] = Drawn(key, weight.shape)
    return found, streams


def test_a_seed_form_that_is_no_smaller_than_the_compact_one_is_refused(ternary_model, tmp_path):
    """As estimates of what operators take may have it: here the compact one takes as many bytes."""
    model, streams = drawn_of(ternary_model, 5)
    dense = Dense(model, streams, list)
    packed = onnx.ModelProto.FromString(model.SerializeToString())
    compact(packed, streams)
    vars(dense)["compact"] = packed
    with pytest.raises(
        RecycleError, match=r"onnx-seed: takes [\d,]+ bytes .* and onnx-compact [\d,]+; choose"
    ):
        write_form("onnx-seed", dense, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_seed_form_that_is_written_is_smaller_than_the_compact_one(ternary_model, tmp_path):
    model, streams = drawn_of(ternary_model, 5)
    dense = Dense(model, streams, list)
    for form in ("onnx-seed", "onnx-compact"):
        write_form(form, dense, tmp_path / form)
    assert (tmp_path / "onnx-seed").stat().st_size < (tmp_path / "onnx-compact").stat().st_size
