"""CIFAR and MNIST: real files where they are at hand, made ones for the rest, and every refusal."""

import hashlib
import os
import pickle
import shutil
import struct
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.data import Augmentation, load
from recycle_pipeline.pipeline.data.vision import SPECS, default_data_root


def refusal(name: str, root: Path, download: bool = False) -> str:
    """The message of the UsageFault that loading raises."""
    with pytest.raises(UsageFault) as caught:
        load(name, data_root=root, download=download)
    return str(caught.value)


def write_mnist(folder: Path, images: int = 20, labels: int = 20) -> Path:
    """Hand-made idx files: 28x28 images whose pixels count up, labels 0..9 in turn."""
    folder.mkdir(parents=True)
    for split in ("train", "t10k"):
        pixels = bytes(index % 251 for index in range(images * 28 * 28))
        head = struct.pack(">4I", 0x803, images, 28, 28)
        (folder / f"{split}-images-idx3-ubyte").write_bytes(head + pixels)
        head = struct.pack(">2I", 0x801, labels)
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(head + bytes(i % 10 for i in range(labels)))
    return folder


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


@pytest.mark.parametrize(
    ("name", "shapes", "first_labels", "classes"),
    [
        ("cifar10", [(50000, 3, 32, 32), (10000, 3, 32, 32)], [6, 9, 9, 4, 1], ("airplane", "automobile")),
        (
            "fashion-mnist",
            [(60000, 1, 28, 28), (10000, 1, 28, 28)],
            [9, 0, 0, 3, 0],
            ("T-shirt/top", "Trouser"),
        ),
    ],
)
def test_published_files_load_with_the_published_constants(
    name: str,
    shapes: list[tuple[int, ...]],
    first_labels: list[int],
    classes: tuple[str, ...],
    published_root: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = load(name, data_root=published_root)
    assert [data.train_images.shape, data.test_images.shape] == shapes
    assert data.train_images.flags.c_contiguous and data.train_images.dtype == np.uint8
    assert data.train_labels[:5].tolist() == first_labels
    assert data.classes[:2] == classes
    assert set(np.bincount(data.test_labels)) == {1000}
    sample = data.train_images[::10] / 255  # a tenth: the mean is then within 0.003 of the whole set's
    np.testing.assert_allclose(data.mean, sample.mean(axis=(0, 2, 3)), atol=0.005)
    np.testing.assert_allclose(data.std, sample.std(axis=(0, 2, 3)), atol=0.005)
    assert capsys.readouterr().out == ""


def test_cifar10_planes_are_red_green_blue(published_root: Path) -> None:
    """The file stores a row of 1024 red, 1024 green and 1024 blue bytes."""
    with open(published_root / "cifar-10-batches-py" / "test_batch", "rb") as file:
        rows = pickle.load(file, encoding="latin1")["data"]
    images = load("cifar10", data_root=published_root).test_images
    np.testing.assert_array_equal(images.reshape(10000, 3072), rows)


def test_a_damaged_cifar10_batch_is_named(published_root: Path, tmp_path: Path, offline: None) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for file in (published_root / folder.name).iterdir():
        os.symlink(file, folder / file.name)
    damaged = folder / "data_batch_3"
    shutil.copy(damaged.resolve(), tmp_path / "copy")
    damaged.unlink()
    shutil.move(tmp_path / "copy", damaged)
    with open(damaged, "r+b") as file:
        file.seek(5_000_000)
        file.write(b"\x00\xff")
    message = refusal("cifar10", tmp_path)
    assert f"'cifar10' is damaged: wrong MD5 sum of data_batch_3 in {folder};" in message
    assert "delete that folder and run again with --download" in message
    message = refusal("cifar10", tmp_path, download=True)
    assert "wrong MD5 sum of data_batch_3" in message
    assert "--download was tried: URLError" in message


@pytest.mark.parametrize("name", SPECS)
def test_a_missing_data_set_says_where_it_was_looked_for(name: str, tmp_path: Path) -> None:
    message = refusal(name, tmp_path)
    assert f"looked in {tmp_path / SPECS[name].folder} for " in message
    assert "none is there" in message
    assert "--data-root DIR" in message and "--download" in message
    assert not any(tmp_path.iterdir()), "looking must not create folders"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    folder = write_mnist(tmp_path / "MNIST" / "raw")
    (folder / "t10k-labels-idx1-ubyte").unlink()
    assert "missing are t10k-labels-idx1-ubyte; pass" in refusal("mnist", tmp_path)


@pytest.mark.parametrize("name", SPECS)
def test_a_download_without_network_is_no_traceback(
    name: str, tmp_path: Path, offline: None, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refusal(name, tmp_path / "new", download=True)
    assert f"could not be downloaded into {tmp_path / 'new' / SPECS[name].folder}" in message
    assert "Name or service not known" in message
    assert capsys.readouterr().out == ""


def test_a_data_root_that_is_a_file_is_refused(tmp_path: Path, offline: None) -> None:
    root = tmp_path / "file"
    root.write_text("")
    assert "looked in" in refusal("mnist", root)
    assert "could not be downloaded" in refusal("mnist", root, download=True)


def test_mnist_loads_from_its_idx_files(tmp_path: Path) -> None:
    write_mnist(tmp_path / "MNIST" / "raw")
    data = load("mnist", data_root=tmp_path)
    assert data.train_images.shape == (20, 1, 28, 28)
    assert data.train_images.ravel()[249:253].tolist() == [249, 250, 0, 1]
    assert data.test_labels.tolist() == [*range(10)] * 2
    assert data.augmentation == Augmentation(pad=2, flip=False)


def test_what_torchvision_prints_does_not_reach_stdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Older versions print "Files already downloaded and verified"; scripts read this stdout."""
    import torchvision.datasets

    write_mnist(tmp_path / "MNIST" / "raw")
    monkeypatch.setattr(torchvision.datasets.MNIST, "_check_exists", lambda self: print("noise") is None)
    load("mnist", data_root=tmp_path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("file", "contents"),
    [
        ("train-images-idx3-ubyte", b""),
        ("train-images-idx3-ubyte", b"<html>404 Not Found</html>"),
        ("train-images-idx3-ubyte", struct.pack(">4I", 0x803, 20, 28, 28) + bytes(19 * 784)),
        ("train-images-idx3-ubyte", struct.pack(">4I", 0x803, 4, 14, 14) + bytes(784)),
        ("t10k-labels-idx1-ubyte", struct.pack(">2I", 0x801, 19) + bytes(19)),
        ("t10k-labels-idx1-ubyte", struct.pack(">2I", 0x801, 20) + b"\xff" * 20),
        ("t10k-labels-idx1-ubyte", struct.pack(">2I", 0xD01, 20) + bytes(80)),
    ],
    ids=["empty", "html", "cut short", "other size", "label missing", "label 255", "float labels"],
)
def test_a_damaged_idx_file_is_refused(file: str, contents: bytes, tmp_path: Path) -> None:
    folder = write_mnist(tmp_path / "MNIST" / "raw")
    (folder / file).write_bytes(contents)
    message = refusal("mnist", tmp_path)
    assert "data set 'mnist' is damaged" in message
    assert f" in {folder};" in message


def tiny_cifar100(root: Path, monkeypatch: pytest.MonkeyPatch, train: bytes = b"") -> None:
    """Writes a CIFAR-100 of two images a split, and has torchvision expect its MD5 sums."""
    import torchvision.datasets

    folder = root / "cifar-100-python"
    folder.mkdir()
    batch = {"data": np.arange(2 * 3072).reshape(2, 3072).astype(np.uint8), "fine_labels": [0, 2]}
    names = [*"abc"]
    contents = {"train": batch, "test": batch, "meta": {"fine_label_names": names}}
    sums = {}
    for name, value in contents.items():
        data = train if train and name == "train" else pickle.dumps(value)
        (folder / name).write_bytes(data)
        sums[name] = hashlib.md5(data).hexdigest()
    reader = torchvision.datasets.CIFAR100
    monkeypatch.setattr(reader, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(reader, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(reader, "meta", {**reader.meta, "md5": sums["meta"]})


def test_cifar100_uses_the_fine_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_cifar100(tmp_path, monkeypatch)
    data = load("cifar100", data_root=tmp_path)
    assert data.classes == ("a", "b", "c")
    assert data.train_labels.tolist() == [0, 2]
    assert data.augmentation == Augmentation(pad=4, flip=True)


def test_a_pickle_that_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_cifar100(tmp_path, monkeypatch, train=b"\x80\x04 no pickle")
    assert f"in {tmp_path / 'cifar-100-python'};" in refusal("cifar100", tmp_path)


def test_the_data_root_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RECYCLE_DATA_ROOT", raising=False)
    assert default_data_root() == tmp_path / ".cache" / "recycle-pipeline" / "data"
    monkeypatch.setenv("RECYCLE_DATA_ROOT", "")
    assert default_data_root() == tmp_path / ".cache" / "recycle-pipeline" / "data"
    monkeypatch.setenv("RECYCLE_DATA_ROOT", "~/elsewhere")
    assert default_data_root() == tmp_path / "elsewhere"
    with pytest.raises(UsageFault, match=str(tmp_path / "elsewhere" / "MNIST")):
        load("mnist")
