"""Two processes search as one does on the same global batch; shares, digests and failures by themselves."""

import copy
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from recycle_pipeline.models.errors import RecycleError, UsageFault
from recycle_pipeline.models.masked_network import MaskedNetwork
from recycle_pipeline.models.recipe import Recipe
from recycle_pipeline.pipeline.data.image_set import Augmentation, ImageSet
from recycle_pipeline.pipeline.processes import CLOSING, leave
from recycle_pipeline.pipeline.search import distributed, watch
from recycle_pipeline.pipeline.search.batches import TrainingImages
from recycle_pipeline.pipeline.search.distributed import World
from recycle_pipeline.pipeline.search.listeners import Listeners
from recycle_pipeline.pipeline.search.loop import search
from recycle_pipeline.pipeline.search.settings import SearchSettings

TESTS = Path(__file__).parents[1]
SECONDS = 120
VARIANTS = {
    "plain": {},
    "recycle, smoothed": {"kind": "binary", "reuse": "recycle", "label_smoothing": 0.1},
    "by steps": {"reuse": "rerandomize", "reuse_period_steps": 3, "scores": "signed"},
    "adam": {"optimizer": "adam", "learning_rate": 0.003},
    "global": {"scope": "global", "layer_minimum": 0.01},
}
ENGINES = ("eager", "captured")
JOBS = """
import torch
from several import in_world
from test_distributed import different_masks, fails_on_the_second, found_by, stops_together

def work(world):
    jobs, images = torch.load("jobs", weights_only=False)
    found = {key: found_by(net, images, s, key[0], world) for key, (net, s) in jobs.items()}
    told = different_masks(world), fails_on_the_second(world), stops_together(world)
    torch.save((found, told), f"found{world.rank}")
    world.close()
    assert not torch.distributed.is_initialized()

print(in_world(work))
"""


def conv_net(norm=False):
    torch.manual_seed(0)
    norms = [nn.BatchNorm2d(6)] if norm else []
    layers = nn.Conv2d(1, 6, 3, bias=False), *norms, nn.ReLU(), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(216, 3, bias=False))


def images_of(train, test=11):
    rng = np.random.default_rng(0)

    def split(count):
        labels = np.arange(count, dtype=np.int64) % 3
        pixels = rng.integers(0, 90, (count, 1, 8, 8)) + 50 * labels.reshape(-1, 1, 1, 1)
        return pixels.astype(np.uint8), labels

    names = ("a", "b", "c")
    return ImageSet("noise", *split(train), *split(test), names, (0.3,), (0.2,), Augmentation(1, True))


def found_by(network, images, settings, engine, world=None):
    """What a search found and reported, as plain values."""
    records, also = [], {} if world is None else {"world": world}
    network = copy.deepcopy(network)
    masked = search(
        network, images, settings, torch.device("cpu"), Listeners(records.append), engine=engine, **also
    )
    return {
        "masks": [layer.weight.mask.numpy() for layer in masked.layers],
        "weights": [layer.weight.weight.numpy() for layer in masked.layers],
        "scores": [layer.scores.detach().numpy() for layer in masked.layers],
        "state": masked.state(),
        "loss": [record.loss for record in records],
        "facts": [
            (r.train_accuracy, r.test_accuracy, r.written, r.changed, r.learning_rate) for r in records
        ],
    }


def different_masks(world):
    """The beginning of what is said where the second process has one bit of its own; before, nothing."""
    recipe = Recipe(0, "continuous", 0.7, "kaiming_normal", "keep", "layer")
    masked = MaskedNetwork(conv_net(), recipe)
    world.check_masks(masked, 1)
    if world.rank == 1:
        masked.layers[1].weight.mask.view(-1)[-1] ^= True
    try:
        world.check_masks(masked, 2)
    except RecycleError as error:
        return str(error).partition(" must")[0]


def fails_on_the_second(world):
    """Notes and losses where the network fails in the second process alone, and there once."""

    class FailsOnce(nn.Sequential):
        failures = [RuntimeError("no room")] if world.rank == 1 else []  # the class's: copies share it

        def forward(self, x):
            if self.failures:
                raise self.failures.pop()
            return super().forward(x)

    recipe = Recipe(0, "continuous", 0.7, "kaiming_normal", "keep", "layer")
    settings = SearchSettings(recipe, 2, 4, 0.1, 0.9, 0.0, 0.0, 0.0, "none", 0.1, 2)
    records, notes = [], []
    network = FailsOnce(*conv_net())
    tell = Listeners(records.append, note=notes.append)
    search(network, images_of(29), settings, torch.device("cpu"), tell, "captured", world)
    return notes, [record.loss for record in records]


def stops_together(world):
    """By engine, what is said and how many steps were done where the second process's loss becomes NaN."""

    class Spoilt(nn.Sequential):
        steps, at = 0, 3

        def forward(self, x):
            self.steps += self.training
            return super().forward(x) * (np.nan if world.rank and self.steps == self.at else 1.0)

    recipe = Recipe(0, "continuous", 0.7, "kaiming_normal", "keep", "layer")
    settings = SearchSettings(recipe, 2, 4, 0.1, 0.9, 0.0, 0.0, 0.0, "none", 0.1, 2, schedule="constant")
    before, watch.EVERY, found = watch.EVERY, 2, {}
    for engine in ENGINES:
        Spoilt.at = 3 + (engine == "captured")  # which rehearses a step
        done = []
        tell = Listeners(step=lambda steps, total, so_far, done=done: done.append(steps))
        try:
            search(Spoilt(*conv_net()), images_of(93), settings, torch.device("cpu"), tell, engine, world)
        except RecycleError as error:
            found[engine] = str(error).partition(";")[0], done[-1]
    watch.EVERY = before
    return found


@pytest.fixture(scope="module")
def shared(tmp_path_factory, settings_with, import_path):
    """What is searched, what each of two processes found, and what each says of masks that differ.

    Processes are started once for all variants.

    29 images in global batches of 8: the last has 5, 3 for the first process and 2 for the second.
    """
    folder, jobs = tmp_path_factory.mktemp("shared"), {}
    usual = {"epochs": 5, "prune": 0.7, "batch_size": 4}
    for engine in ENGINES:
        for name, changes in VARIANTS.items():
            jobs[engine, name] = conv_net(), settings_with(**(usual | changes))
        jobs[engine, "norm"] = conv_net(norm=True), settings_with(**usual, batch_norm="learned")
    torch.save((jobs, images_of(29)), folder / "jobs")
    path = os.pathsep.join([import_path["PYTHONPATH"], str(TESTS), str(TESTS / "search")])
    environment = import_path | {"PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", JOBS],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert (done.stdout, done.stderr) == ("[0, 0]\n", "")
    found, said = zip(
        *[torch.load(folder / f"found{rank}", weights_only=False) for rank in range(2)], strict=True
    )
    return jobs, found, list(said)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", VARIANTS)
def test_two_processes_find_what_one_finds_on_the_same_global_batch(shared, settings_with, engine, name):
    """Sums in another order: scores, of about 0.3, equal within 1e-4."""
    jobs, (first, _), _ = shared
    network, settings = jobs[engine, name]
    alone = settings_with(**({"epochs": 5, "prune": 0.7, "batch_size": 8} | VARIANTS[name]))
    wanted, found = found_by(network, images_of(29), alone, engine), first[engine, name]
    assert settings.batch_size == 4 and found["facts"] == wanted["facts"]
    assert found["loss"] == pytest.approx(wanted["loss"], rel=1e-4)
    for part in ("masks", "weights"):
        for ours, theirs in zip(found[part], wanted[part], strict=True):
            assert np.array_equal(ours, theirs)
    for ours, theirs in zip(found["scores"], wanted["scores"], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", [*VARIANTS, "norm"])
def test_both_processes_end_with_the_same_to_the_bit(shared, engine, name):
    """Batch-norm statistics too, which each followed on its own shares."""
    one, other = (found[engine, name] for found in shared[1])
    assert (one["facts"], one["loss"]) == (other["facts"], other["loss"])
    for part in ("masks", "weights", "scores"):
        for ours, theirs in zip(one[part], other[part], strict=True):
            assert np.array_equal(ours, theirs)
    assert one["state"].keys() == other["state"].keys()
    for key, value in one["state"].items():
        assert np.array_equal(value, other["state"][key]), key


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("train", [10, 29, 30, 31, 64])
def test_the_shares_of_a_batch_are_the_batch(train, size, cpu):
    images = images_of(train)
    worlds = [World(rank, size) for rank in range(size)]
    whole = TrainingImages(images, cpu, 3)
    whole.begin_epoch()
    sizes = TrainingImages(images, cpu, 3, worlds[0]).batch_sizes(4)
    assert all(4 * size == count for count in sizes[:-1]) and train - sum(sizes) < 2 * size
    epochs = [list(TrainingImages(images, cpu, 3, world).epoch(4)) for world in worlds]
    start = 0
    for step, count in enumerate(sizes):
        parts = [epoch[step] for epoch in epochs]
        pixels, labels = whole.batch(torch.arange(start, start + count))
        assert torch.equal(torch.cat([part[0] for part in parts]), pixels)
        assert torch.equal(torch.cat([part[1] for part in parts]), labels)
        assert max(counts := [len(part[1]) for part in parts]) - min(counts) <= 1
        assert size == 1 or min(counts) >= 2
        start += count


def test_fewer_than_two_images_per_process_are_refused(cpu):
    training = TrainingImages(images_of(7), cpu, 0, World(0, 4))
    with pytest.raises(UsageFault, match=r"^4 processes cannot share 7 training images: .*; start fewer$"):
        training.batch_sizes(2)


def test_one_differing_bit_stops_every_process_and_names_rank_and_layer(shared):
    said = "after epoch 2 the mask of layer 3 on rank 1 is not that of rank 0; all processes"
    assert [mine for mine, *_ in shared[2]] == [said] * 2


def test_where_one_process_cannot_capture_none_waits_for_it_and_all_search_eagerly(shared):
    (_, (first, losses), _), (_, (second, same), _) = shared[2]
    note = "this network cannot be captured in a CUDA graph ({}); the search is slower".format
    assert first == [note("it fails on another process")] and second == [note("no room")]
    assert losses == same and len(losses) == 2


def test_a_loss_that_is_not_finite_in_one_process_stops_both_at_the_same_step(shared):
    """Of 12 an epoch; looked at after every second."""
    said = "the loss is not finite at step 3, in epoch 1 (learning rate 0.1)"
    assert [mine for *_, mine in shared[2]] == [dict.fromkeys(ENGINES, (said, 4))] * 2


def test_a_connection_that_does_not_close_is_left_behind_and_the_process_ends_without_it(monkeypatch):
    """As NCCL's may not, which waits for a process that was killed."""
    killed, left = threading.Event(), []
    monkeypatch.setattr(distributed, "CLOSING_SECONDS", 0.1)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", killed.wait)
    monkeypatch.setattr(os, "_exit", left.append)
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    World(0, 2, graphs=False).close()
    with pytest.raises(SystemExit):  # after os._exit, which does not return outside of tests
        leave(0)
    assert left == [0]
    killed.set()
    while any(thread.name == CLOSING for thread in threading.enumerate()):
        time.sleep(0.01)
    with pytest.raises(SystemExit):
        leave(0)
    assert left == [0]


def test_a_process_alone_has_nothing_to_close(monkeypatch):
    monkeypatch.delattr(torch.distributed, "destroy_process_group")
    World().close()
