"""Plain weights in safetensors: other tools read back the same bits."""

import os

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recycle_pipeline.exporters.weights import write_weights
from recycle_pipeline.models.registry import build
from recycle_pipeline.models.subnetwork import array_digest

DTYPES = st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.int16, np.uint8, np.bool_])


@settings(max_examples=50, deadline=None)
@given(
    arrays=st.dictionaries(
        st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda name: name != "__metadata__"),
        DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(max_dims=4, max_side=4))),
        max_size=4,
    )
)
def test_load_file_gives_back_the_same_bits(tmp_path_factory, arrays):
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    write_weights(arrays, path)
    loaded = safetensors.numpy.load_file(path)
    assert {n: array_digest(a) for n, a in loaded.items()} == {n: array_digest(a) for n, a in arrays.items()}


def test_special_numbers_keep_their_bits(tmp_path):
    bits = np.array([0x7FC00001, 0xFF800000, 0x80000000, 1, 0x807FFFFF], np.uint32)
    write_weights({"w": bits.view(np.float32)}, tmp_path / "w")
    assert safetensors.numpy.load_file(tmp_path / "w")["w"].tobytes() == bits.tobytes()


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.float32).reshape(3, 4).T,
        np.arange(12, dtype=np.float32)[::2],
        np.arange(12, dtype=np.float32)[::-1],
        np.broadcast_to(np.float32(3), (2, 3)),
        np.arange(3, dtype=">f4"),
    ],
    ids=["transposed", "strided", "reversed", "broadcast", "big-endian"],
)
def test_an_array_that_rests_in_memory_in_another_way_is_stored_by_value(tmp_path, array):
    write_weights({"w": array}, tmp_path / "w")
    assert array_digest(safetensors.numpy.load_file(tmp_path / "w")["w"]) == array_digest(array)


def test_a_scalar_stays_a_scalar(tmp_path):
    write_weights({"w": np.array(3, np.float32)}, tmp_path / "w")
    assert safetensors.numpy.load_file(tmp_path / "w")["w"].shape == ()


def test_a_network_loads_its_subnetwork_from_the_file(tmp_path):
    """As the docstring of `write_weights` says."""
    torch.manual_seed(0)
    theirs, mine = (build("conv2", classes=3, channels=1, image_size=4) for _ in range(2))
    write_weights({n: v.numpy() for n, v in theirs.state_dict().items()}, tmp_path / "w.safetensors")
    mine.load_state_dict(safetensors.torch.load_file(tmp_path / "w.safetensors"), strict=False)
    assert all(torch.equal(mine.state_dict()[n], v) for n, v in theirs.state_dict().items())


def test_the_file_is_replaced_whole_and_alone(tmp_path):
    (tmp_path / "w").write_bytes(b"old")
    with pytest.raises(Exception, match=r"longdouble|float128"):  # no such type in the format
        write_weights({"w": np.zeros(3, np.longdouble)}, tmp_path / "w")
    assert (tmp_path / "w").read_bytes() == b"old"
    write_weights({"w": np.zeros(3, np.float32)}, tmp_path / "w")
    assert os.listdir(tmp_path) == ["w"]
