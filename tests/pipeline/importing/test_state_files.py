"""A state dict out of a file: plain, nested, wrapped; and hostile files, of which no code runs."""

import collections
import os
import pickle
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch

from recycle_pipeline.models.errors import CorruptArtefact, UsageFault
from recycle_pipeline.pipeline.importing.state_files import read_state_dict

TENSORS = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.zeros(2)}


def stored(content, path):
    torch.save(content, path)
    return path


def same(found):
    return found.keys() == TENSORS.keys() and all(torch.equal(found[k], TENSORS[k]) for k in TENSORS)


@pytest.mark.parametrize("suffix", ["pt", "pth", "bin", "ckpt", "tar"])
def test_a_plain_state_dict_is_read(tmp_path, suffix):
    assert same(read_state_dict(stored(TENSORS, tmp_path / f"x.{suffix}")))
    assert same(read_state_dict(stored(collections.OrderedDict(TENSORS), tmp_path / f"x.{suffix}")))


def test_safetensors_are_read(tmp_path):
    safetensors.torch.save_file(TENSORS, tmp_path / "x.safetensors")
    assert same(read_state_dict(tmp_path / "x.safetensors"))


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
@pytest.mark.parametrize("entry", ["state_dict", "model"])
def test_a_checkpoints_state_dict_is_found_and_unwrapped(tmp_path, wrapper, entry):
    wrapped = {wrapper + name: tensor for name, tensor in TENSORS.items()}
    optimizer = {"state": {0: {"momentum_buffer": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}
    content = {"epoch": 3, "arch": "x", entry: wrapped, "optimizer": optimizer, "best_acc1": 9.5}
    assert same(read_state_dict(stored(content, tmp_path / "x.pth")))


def test_parameters_are_read_as_tensors(tmp_path):
    content = {"a.weight": torch.nn.Parameter(TENSORS["a.weight"]), "a.bias": TENSORS["a.bias"]}
    assert not read_state_dict(stored(content, tmp_path / "x.pt"))["a.weight"].requires_grad


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm",)


REFUSED = {
    "a list": ([1, 2], "holds a list; expected a state dict"),
    "numbers": ({"epoch": 3}, "of its entries none are state dicts"),
    "two": ({"state_dict": TENSORS, "ema": TENSORS}, "of its entries ema, state_dict are state dicts"),
    "twice": ({"module.a": torch.ones(2), "a": torch.ones(2)}, "has 'a' twice, with and without a wrapper"),
    "sparse": ({"a": torch.eye(3).to_sparse()}, "'a' is sparse, quantized or empty; expected a plain tensor"),
    "scalars of numpy": ({"state_dict": TENSORS, "best": np.float64(1)}, "objects besides tensors and plain"),
    "code": ({"state_dict": TENSORS, "x": Harmful()}, "objects besides tensors and plain data"),
}


@pytest.mark.parametrize(("content", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_single_state_dict_is_refused_and_no_code_runs(tmp_path, monkeypatch, content, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageFault, match=words):
        read_state_dict(stored(content, tmp_path / "x.pt"))
    assert not (tmp_path / "harm").exists()


def test_a_bare_pickle_with_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.pt").write_bytes(pickle.dumps(Harmful(), protocol=2))
    with pytest.raises((UsageFault, CorruptArtefact)):
        read_state_dict(tmp_path / "x.pt")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize("part", [0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_corrupt(tmp_path, suffix, part):
    path = tmp_path / f"x.{suffix}"
    if suffix == "pt":
        stored(TENSORS, path)
    else:
        safetensors.torch.save_file(TENSORS, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(CorruptArtefact, match=r"is not a whole"):
        read_state_dict(path)


def test_a_zip_that_unpacks_to_more_than_it_holds_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x/data.pkl", bytes(50_000_000))
    with pytest.raises(CorruptArtefact, match="would unpack to 50,000,000 bytes"):
        read_state_dict(path)


@pytest.mark.parametrize(
    ("name", "words"), [("x.h5", "a file that ends in"), ("gone.pt", "there is no file")]
)
def test_another_kind_of_file_and_none_at_all_are_refused(tmp_path, name, words):
    (tmp_path / "x.h5").write_bytes(b"x")
    with pytest.raises(UsageFault, match=words):
        read_state_dict(tmp_path / name)


def test_a_ticket_is_refused_as_weights(finished):
    with pytest.raises(UsageFault, match="is a ticket already"):
        read_state_dict(finished.ticket)
