"""The checkpoint file: read by any safetensors reader, written atomically, refused where it is not whole."""

import dataclasses

import pytest
import safetensors.torch
import torch

from recycle_pipeline.models.errors import CorruptArtefact
from recycle_pipeline.pipeline.search.checkpoint import DTYPES, Checkpoint, read_checkpoint, write_checkpoint
from recycle_pipeline.pipeline.search.records import EpochRecord

SEARCH = {"arch": "conv2", "prune": 0.9, "reuse_period_steps": None, "contents of data": "ab" * 32}
RECORD = EpochRecord(1, 1 / 3, 0.1, 0.2, 1e-7, 0.9, 12, 7, 1234.5, 0.25)


@pytest.fixture
def checkpoint():
    tensors = {f"t.{kind}": torch.arange(6).reshape(3, 2).to(dtype) for dtype, kind in DTYPES.items()} | {
        "scalar": torch.tensor(3.5),
        "empty": torch.empty(0, 4),
        "random": torch.arange(5).to(torch.uint8),
    }
    return Checkpoint(SEARCH, 3, (RECORD, dataclasses.replace(RECORD, epoch=2)), tensors)


@pytest.fixture
def written(checkpoint, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    write_checkpoint(checkpoint, path)
    return path


def test_what_is_written_is_read_exactly(checkpoint, written):
    found = read_checkpoint(written)
    assert (found.search, found.events, found.records) == (SEARCH, 3, checkpoint.records)
    assert found.tensors.keys() == checkpoint.tensors.keys()
    for name, tensor in checkpoint.tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor), name
    assert found.differing(SEARCH) == {}


def test_equal_checkpoints_are_equal_bytes_and_nothing_is_left_beside(checkpoint, written):
    again = written.with_name("again")
    turned = dict(reversed(checkpoint.tensors.items()))
    write_checkpoint(dataclasses.replace(checkpoint, tensors=turned), again)
    assert again.read_bytes() == written.read_bytes()
    assert {path.name for path in written.parent.iterdir()} == {"again", "checkpoint.safetensors"}


def test_any_safetensors_reader_opens_it(checkpoint, written):
    assert safetensors.torch.load_file(written).keys() == checkpoint.tensors.keys()


def test_every_byte_counts(written):
    content = written.read_bytes()
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        written.write_bytes(damaged)
        with pytest.raises(CorruptArtefact, match=r"^is damaged"):
            read_checkpoint(written)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 100, -100, -1])
def test_a_cut_file_is_damage(written, length):
    written.write_bytes(written.read_bytes()[:length])
    with pytest.raises(CorruptArtefact, match=r"^is damaged"):
        read_checkpoint(written)


@pytest.mark.parametrize("metadata", [None, {}, {"crc32": "00000000"}], ids=str)
def test_another_safetensors_file_is_no_checkpoint(tmp_path, metadata):
    path = tmp_path / "x.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(1)}, path, metadata)
    with pytest.raises(CorruptArtefact, match=r"^is damaged"):
        read_checkpoint(path)


def test_a_later_version_is_not_read(checkpoint, written, monkeypatch):
    monkeypatch.setattr("recycle_pipeline.pipeline.search.checkpoint.VERSION", 2)
    with pytest.raises(CorruptArtefact, match=r"^has version 1, where 2 is read$"):
        read_checkpoint(written)


def test_what_differs_is_named(checkpoint):
    asked = {**SEARCH, "prune": 0.8, "seed": 1, "contents of data": "cd" * 32}
    assert [*checkpoint.differing(asked).values()] == [
        "contents of data abababababab there, cdcdcdcdcdcd here",
        "prune 0.9 there, 0.8 here",
        "seed None there, 1 here",
    ]
