"""A state dict of torch's own: tensors alone, the same bits, and the file is replaced whole."""

import os

import numpy as np
import pytest
import torch

from recycle_pipeline.exporters.state_dict import write_state_dict
from recycle_pipeline.models.registry import build
from recycle_pipeline.models.subnetwork import array_digest

ARRAYS = {
    "float": np.array([0x7FC00001, 0x80000000, 1, 0x807FFFFF], np.uint32).view(np.float32),
    "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "big-endian": np.arange(3, dtype=">f4"),
    "integer": np.arange(3, dtype=np.int64),
    "scalar": np.array(3, np.float32),
    "empty": np.zeros((0, 2), np.float32),
}


def test_torch_reads_back_the_same_bits_of_tensors_alone(tmp_path):
    write_state_dict(ARRAYS, tmp_path / "w.pt")
    loaded = torch.load(tmp_path / "w.pt", weights_only=True)
    assert list(loaded) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert array_digest(loaded[name].numpy()) == array_digest(array), name


def test_a_network_with_batch_norm_loads_it_strictly(tmp_path):
    """Counts of batches, which a ticket has not, torch fills in itself."""
    torch.manual_seed(0)
    theirs, mine = (build("resnet20", classes=3, channels=1, image_size=8) for _ in range(2))
    state = {n: v.numpy() for n, v in theirs.state_dict().items() if "num_batches" not in n}
    write_state_dict(state, tmp_path / "w.pt")
    mine.load_state_dict(torch.load(tmp_path / "w.pt", weights_only=True))
    assert all(torch.equal(mine.state_dict()[n], v) for n, v in theirs.state_dict().items())


def test_equal_arrays_give_equal_bytes_whatever_the_name(tmp_path):
    for name in ("a.pt", "b.pt"):
        write_state_dict(ARRAYS, tmp_path / name)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_the_file_is_replaced_whole_and_alone(tmp_path, monkeypatch):
    (tmp_path / "w.pt").write_bytes(b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_state_dict(ARRAYS, tmp_path / "w.pt")
    assert os.listdir(tmp_path) == ["w.pt"] and (tmp_path / "w.pt").read_bytes() == b"old"
    write_state_dict(ARRAYS, tmp_path / "w.pt")
    assert os.listdir(tmp_path) == ["w.pt"] and (tmp_path / "w.pt").read_bytes() != b"old"
