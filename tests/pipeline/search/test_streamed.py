"""Images fed from a file: the same batches, searches and masks as of resident ones; no thread stays."""

import copy
import dataclasses
import os
import threading

import numpy as np
import pytest
import torch
from torch import nn

from recycle_pipeline.models.errors import CorruptArtefact
from recycle_pipeline.pipeline.data.stored_images import StoredImages
from recycle_pipeline.pipeline.search import captured_evaluation
from recycle_pipeline.pipeline.search.batches import TrainingImages
from recycle_pipeline.pipeline.search.checkpoints import Checkpoints
from recycle_pipeline.pipeline.search.distributed import World
from recycle_pipeline.pipeline.search.feeder import SLOTS, Feeder
from recycle_pipeline.pipeline.search.listeners import NOBODY, Listeners
from recycle_pipeline.pipeline.search.loop import search
from recycle_pipeline.pipeline.search.streamed import StreamedImages, training_images

ENGINES = ("eager", "captured")


@pytest.fixture
def on_disk(tmp_path):
    """The same image set, with its pixels in a file."""

    def move(images):
        pixels = np.concatenate([images.train_images, images.test_images])
        path = tmp_path / "pixels"
        path.write_bytes(pixels.tobytes())
        stored, count = StoredImages(path, pixels.shape), len(images.train_labels)
        return dataclasses.replace(images, train_images=stored[:count], test_images=stored[count:])

    return move


@pytest.fixture
def network():
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(216, 3, bias=False))


def workers():
    """The threads of feeders and checkpoints; torch's compiler keeps threads of its own."""
    return [t.name for t in threading.enumerate() if t.name.startswith(("images", "checkpoint"))]


@pytest.fixture(autouse=True)
def no_thread_stays():
    yield
    assert workers() == []


def found_by(network, images, settings, engine, device, on_step=NOBODY.step, **options):
    """All that a search found and reported, as values that can be compared to the bit."""
    records = []
    tell = Listeners(records.append, on_step)
    masked = search(copy.deepcopy(network), images, settings, device, tell, engine=engine, **options)
    tensors = [tensor for layer in masked.layers for tensor in (layer.weight.mask, layer.scores.detach())]
    facts = [(r.loss, r.train_accuracy, r.test_accuracy, r.written, r.changed) for r in records]
    return facts, [tensor.numpy().tobytes() for tensor in tensors], masked.state()


def same(one, other):
    assert one[:2] == other[:2]
    for name, value in one[2].items():
        assert np.array_equal(value, other[2][name]), name


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "changes", [{}, {"reuse": "rerandomize", "reuse_period_steps": 4, "optimizer": "adam"}], ids=str
)
def test_streamed_and_resident_searches_are_the_same_to_the_bit(
    image_set, settings_with, network, cpu, on_disk, engine, changes
):
    """27 images in batches of 2 go around the slots; the last image is left out."""
    images = image_set(train=27, test=10, pad=2, flip=True, noise=0.1)
    settings = settings_with(**({"epochs": 3, "prune": 0.7, "batch_size": 2, "kind": "binary"} | changes))
    assert SLOTS < 27 // 2
    same(*(found_by(network, each, settings, engine, cpu) for each in (images, on_disk(images))))


def test_a_test_split_of_several_batches_is_counted_as_a_whole(
    image_set, settings_with, network, cpu, on_disk, monkeypatch
):
    monkeypatch.setattr(captured_evaluation, "EVALUATION_BATCH", 7)
    images, settings = image_set(train=24, test=100), settings_with(epochs=3)
    same(*(found_by(network, each, settings, "captured", cpu) for each in (images, on_disk(images))))


@pytest.mark.parametrize("rank", [0, 1])
def test_each_of_several_processes_reads_its_share(image_set, cpu, on_disk, rank):
    images, world = image_set(train=29, pad=1, flip=True), World(rank, 2)
    resident = TrainingImages(images, cpu, 5, world)
    streamed = training_images(on_disk(images), cpu, 5, 4, world)
    assert isinstance(streamed, StreamedImages)
    for _ in range(2):
        pairs = list(zip(resident.epoch(4), streamed.epoch(4), strict=True))
        assert [len(labels) for (_, labels), _ in pairs] == [4, 4, 4, 3 - rank]
        for one, other in pairs:
            assert all(map(torch.equal, one, other))


@pytest.mark.parametrize("engine", ENGINES)
def test_an_interrupted_search_goes_on_to_the_same_end(
    image_set, settings_with, network, cpu, on_disk, tmp_path, engine
):
    images, settings = on_disk(image_set(train=27, pad=1, flip=True)), settings_with(epochs=4, prune=0.7)
    whole = found_by(network, images, settings, engine, cpu)

    def stop(done, total, so_far):
        if done == 10:  # in the third epoch of four steps
            raise KeyboardInterrupt

    kept = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt), Checkpoints(kept, {}, lambda note: None) as checkpoints:
        found_by(network, images, settings, engine, cpu, on_step=stop, checkpoints=checkpoints)
    assert workers() == []
    with Checkpoints(kept, {}, lambda note: None) as checkpoints:
        facts, tensors, state = found_by(network, images, settings, engine, cpu, checkpoints=checkpoints)
    assert len(facts) < 4
    same((whole[0][-len(facts) :], *whole[1:]), (facts, tensors, state))


@pytest.mark.parametrize("engine", ENGINES)
def test_pixels_that_cannot_be_read_end_the_search_with_their_name(
    image_set, settings_with, network, cpu, on_disk, tmp_path, engine
):
    images = on_disk(image_set(train=27))

    def damage(record):
        os.truncate(tmp_path / "pixels", 100)

    with pytest.raises(CorruptArtefact, match=f"cannot be read from {tmp_path}/pixels: it ends too early"):
        search(network, images, settings_with(epochs=3), cpu, Listeners(damage), engine=engine)


def test_the_device_holds_some_batches_whatever_the_number_of_images(image_set, cpu, on_disk):
    held = [
        sum(
            tensor.nbytes
            for tensor in (streamed._feeder.staged, *(slot._pixels for slot in streamed._feeder._slots))
        )
        for count in (24, 240)
        for streamed in [training_images(on_disk(image_set(train=count)), cpu, 0, 4)]
    ]
    assert held == [(SLOTS + 1) * 4 * 64] * 2


def batches_of(feeder, batches):
    with feeder.feeding(batches):
        for batch in batches:
            feeder.stage()
            yield feeder.staged[: len(batch)].cpu().numpy()


DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
    ),
]


@pytest.mark.parametrize("device", DEVICES)
def test_batches_come_in_order_whole_and_again(image_set, on_disk, device):
    images = image_set(train=200, side=32, channels=3)
    rng = np.random.default_rng(0)
    feeder = Feeder(on_disk(images).train_images, torch.device(device), 16)
    for _ in range(5):
        batches = [rng.permutation(200)[: rng.integers(1, 17)] for _ in range(40)]
        for batch, pixels in zip(batches, batches_of(feeder, batches), strict=True):
            assert np.array_equal(pixels, images.train_images[batch])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_on_cuda_steps_that_lag_behind_see_their_own_batch(image_set, on_disk):
    """The GPU is kept busy, so that copies to slots and out of them are launched long before they end."""
    images = image_set(train=400, side=64, channels=3)
    device, sums = torch.device("cuda"), []
    feeder = Feeder(on_disk(images).train_images, device, 32)
    batches = [np.random.default_rng(seed).permutation(400)[:32] for seed in range(60)]
    with feeder.feeding(batches):
        for _ in batches:
            feeder.stage()
            torch.cuda._sleep(2_000_000)
            sums.append(feeder.staged.long().sum())
    expected = [int(images.train_images[batch].astype(np.int64).sum()) for batch in batches]
    assert torch.stack(sums).tolist() == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("engine", ["captured", "compiled"])
def test_on_cuda_graphs_see_the_same_batches_streamed_as_resident(
    image_set, settings_with, network, on_disk, engine
):
    """cuDNN may choose other algorithms from run to run: losses agree closely, not to the bit."""
    images = image_set(train=203, test=50, pad=2, flip=True)
    settings = settings_with(epochs=4, prune=0.7, kind="binary")
    one, other = (found_by_on_cuda(network, each, settings, engine) for each in (images, on_disk(images)))
    assert one == pytest.approx(other, rel=0.02)


def found_by_on_cuda(network, images, settings, engine):
    records, notes = [], []
    device = torch.device("cuda")
    tell = Listeners(records.append, note=notes.append)
    search(copy.deepcopy(network), images, settings, device, tell, engine=engine)
    assert notes == []
    return [record.loss for record in records]
