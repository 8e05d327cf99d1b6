"""A search stopped at any step goes on to the same end; what cannot be gone on from is said, not used."""

import copy
import dataclasses
import errno
import math
import os
import re
import time

import pytest
import torch
from torch import nn

from recycle_pipeline.models.errors import RecycleError
from recycle_pipeline.pipeline.search import checkpoints as module
from recycle_pipeline.pipeline.search.checkpoint import read_checkpoint, write_checkpoint
from recycle_pipeline.pipeline.search.checkpoints import Checkpoints
from recycle_pipeline.pipeline.search.listeners import Listeners
from recycle_pipeline.pipeline.search.loop import search

VARIANTS = [
    {"reuse": "recycle"},
    {"reuse": "rerandomize", "kind": "binary"},
    {"reuse": "rerandomize", "reuse_period_steps": 5, "scores": "signed", "rounding": "iterand"},
    {"reuse": "hybrid", "recycle_from": "next-lowest", "init": "signed_constant"},
    {"optimizer": "adam", "learning_rate": 0.003, "reuse": "hybrid"},
    {"optimizer": "lars", "learning_rate": 0.02, "kind": "binary"},
    {"optimizer": "adam", "batch_norm": "learned", "kind": "binary", "schedule": "constant"},
    {"batch_norm": "learned", "reuse": "recycle", "warmup": 2.5, "schedule": "cosine-epoch"},
    {"scope": "global", "layer_minimum": 0.1, "prune": 0.8},
    {"allocation": "erk", "prune": 0.8},
    {"scope": "global", "reuse": "recycle", "prune": 0.8, "kind": "binary"},
    {"momentum": 0.0, "label_smoothing": 0.1},
]
SEARCH = {"arch": "small", "prune": 0.7}
STEPS, EPOCHS = 4, 6  # 27 images by 8


class Stop(Exception):
    """Somebody pulled the plug."""


@pytest.fixture
def network():
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2)
    return nn.Sequential(*layers, nn.Linear(216, 3, bias=False))


@pytest.fixture
def images(image_set):
    return image_set(train=27, test=10, pad=1, flip=True)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoint.safetensors"


class Run:
    """Searches with checkpoints at `path`; `stop_at` is a number of steps, or of epochs if negative."""

    def __init__(
        self, network, images, settings, path, engine="eager", stop_at=None, asked=SEARCH, device="cpu"
    ):
        self.records, self.notes = [], []
        torch.manual_seed(5)

        def on_step(done, total, so_far):
            if done == stop_at:
                raise Stop

        def on_epoch(record):
            self.records.append(record)
            self.listen()
            if stop_at is not None and len(self.records) == -stop_at:
                raise Stop

        resumed = lambda *records: self.records.extend(records)  # noqa: E731
        with Checkpoints(path, asked, self.notes.append, resumed) as checkpoints:
            try:
                self.masked = search(
                    copy.deepcopy(network),
                    images,
                    settings,
                    torch.device(device),
                    Listeners(on_epoch, on_step, self.notes.append),
                    engine,
                    checkpoints=checkpoints,
                )
            except Stop:
                self.masked = None

    def listen(self):
        """Called when an epoch is told."""

    def facts(self):
        return [dataclasses.replace(record, seconds=0, images_per_second=0) for record in self.records]


def assert_same(one, other):
    assert one.facts() == other.facts()
    assert one.masked.events == other.masked.events
    for mine, theirs in zip(one.masked.layers, other.masked.layers, strict=True):
        for field in ("draw", "source"):
            assert (mine.provenance is None) == (theirs.provenance is None)
            if mine.provenance is not None:
                assert torch.equal(getattr(mine.provenance, field), getattr(theirs.provenance, field))
    mine, theirs = (run.masked.network.state_dict() for run in (one, other))
    assert mine.keys() == theirs.keys()
    for name in mine:
        assert torch.equal(mine[name], theirs[name]), name


@pytest.mark.parametrize("engine", ["eager", "captured"])
@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_stopped_twice_it_ends_as_if_never_stopped(
    network, images, settings_with, tmp_path, path, changes, engine
):
    """Within the second epoch, and between the end of the fourth and its checkpoint; then before any."""
    settings = settings_with(**({"epochs": EPOCHS, "prune": 0.7} | changes))
    whole = Run(network, images, settings, tmp_path / "other.safetensors", engine)
    assert len(whole.records) == EPOCHS and whole.notes == []
    Run(network, images, settings, path, engine, stop_at=STEPS + 2)
    between = Run(network, images, settings, path, engine, stop_at=-4)
    rest = Run(network, images, settings, path, engine)
    name = path.name
    assert between.notes == [f"continues after epoch 1 of {EPOCHS} ({name})"]
    assert rest.notes == [f"continues after epoch 3 of {EPOCHS} ({name})"]
    assert_same(rest, whole)
    seconds = [record.seconds for record in rest.records]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize("stop_at", [*range(1, STEPS * EPOCHS + 1), *range(-EPOCHS, 0)])
def test_it_may_be_stopped_at_any_step_and_loses_at_most_an_epoch(
    network, images, settings_with, tmp_path, path, stop_at
):
    settings = settings_with(epochs=EPOCHS, prune=0.7, reuse="hybrid", batch_norm="learned")
    whole = Run(network, images, settings, tmp_path / "other.safetensors")
    Run(network, images, settings, path, stop_at=stop_at)
    rest = Run(network, images, settings, path)
    done = (stop_at - 1) // STEPS if stop_at > 0 else -stop_at - 1
    assert rest.notes == ([f"continues after epoch {done} of {EPOCHS} ({path.name})"] if done else [])
    assert_same(rest, whole)


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_what_one_engine_left_the_other_goes_on_from(network, images, settings_with, path, changes):
    """The files have the same tensors, but for thresholds that one of the engines carries."""
    settings = settings_with(**({"epochs": EPOCHS, "prune": 0.7} | changes))
    found = []
    for engine in ("captured", "eager"):
        path.unlink(missing_ok=True)
        Run(network, images, settings, path, engine, stop_at=STEPS * 3 + 1)
        found.append(read_checkpoint(path).tensors)
    fast, plain = ({k: v for k, v in each.items() if not k.startswith("carried.")} for each in found)
    assert fast.keys() == plain.keys() and "carried.threshold" in found[0]
    for name, tensor in plain.items():
        assert (fast[name].shape, fast[name].dtype) == (tensor.shape, tensor.dtype), name
        if settings.recipe.scope == "layer":  # elsewhere the fast engine's masks are near ones meanwhile
            torch.testing.assert_close(fast[name], tensor, rtol=1e-2, atol=1e-3)
    content = path.read_bytes()  # the eager one's
    for engine in ("captured", "eager"):
        path.write_bytes(content)
        rest = Run(network, images, settings, path, engine)
        assert rest.notes == [f"continues after epoch 3 of {EPOCHS} ({path.name})"]
        assert len(rest.records) == EPOCHS


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("engine", ["eager", "captured"])
@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_on_cuda_it_goes_on_from_exactly_what_was_left(
    network, images, settings_with, tmp_path, path, changes, engine, monkeypatch
):
    """Sums are not repeatable there, so what follows is the same only about."""
    settings = settings_with(**({"epochs": EPOCHS, "prune": 0.7} | changes))
    whole = Run(network, images, settings, tmp_path / "other.safetensors", engine, device="cuda")
    Run(network, images, settings, path, engine, stop_at=-4, device="cuda")
    left, seen, resume = read_checkpoint(path).tensors, {}, Checkpoints.resume

    def seeing(self, state, epochs):
        records = resume(self, state, epochs)
        seen.update({name: tensor.cpu().clone() for name, tensor in state.tensors().items()})
        return records

    monkeypatch.setattr(Checkpoints, "resume", seeing)
    rest = Run(network, images, settings, path, engine, device="cuda")
    assert rest.notes == [f"continues after epoch 3 of {EPOCHS} ({path.name})"]
    assert len(rest.records) == EPOCHS and seen.keys() == left.keys()
    for name, tensor in left.items():
        assert torch.equal(seen[name], tensor), name
    if settings.optimizer == "sgd":  # Adam makes full steps of the noise in small gradients
        assert rest.records[3].loss == pytest.approx(whole.records[3].loss, rel=0.3, abs=0.1)


@pytest.fixture
def left(network, images, settings_with, path):
    """Settings, after a search of six epochs that was stopped in the third."""
    settings = settings_with(epochs=EPOCHS, reuse="recycle")
    Run(network, images, settings, path, stop_at=2 * STEPS + 1)
    return settings


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"arch": "small", "prune": 0.8}, "prune 0.7 there, 0.8 here"),
        ({"arch": "small", "prune": 0.7, "device": "cuda"}, "device None there, cuda here"),
    ],
    ids=str,
)
def test_a_checkpoint_of_another_search_is_not_used(network, images, left, path, asked, reason):
    run = Run(network, images, left, path, asked=asked)
    assert run.notes == [
        f"checkpoint.safetensors is of another search ({reason}); it is not used, the search begins anew"
    ]
    assert len(run.records) == EPOCHS


def damaged(path):
    path.write_bytes(path.read_bytes()[:-1])


def without_scores(path):
    found = read_checkpoint(path)
    tensors = {name: t for name, t in found.tensors.items() if not name.startswith("score.5")}
    write_checkpoint(dataclasses.replace(found, tensors=tensors), path)


def other_shape(path):
    found = read_checkpoint(path)
    write_checkpoint(
        dataclasses.replace(found, tensors={**found.tensors, "score.5.weight": torch.ones(3)}), path
    )


def other_memory(path):
    found = read_checkpoint(path)
    name = "memory.momentum_buffer.5.weight"
    write_checkpoint(dataclasses.replace(found, tensors={**found.tensors, name: torch.ones(3)}), path)


def without_records(path):
    write_checkpoint(dataclasses.replace(read_checkpoint(path), records=()), path)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (damaged, r"is damaged \(.*\)"),
        (without_scores, "lacks score.5.weight"),
        (other_shape, r"holds score.5.weight as torch.float32 \(3,\), not torch.float32 \(3, 216\)"),
        (other_memory, r"holds memory.momentum_buffer.5.weight of shape \(3,\), not \(3, 216\)"),
        (without_records, "is of epoch 0 of 6"),
        (lambda path: (path.unlink(), path.mkdir()), "is no file"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "is no file"),
    ],
)
def test_a_spoilt_checkpoint_is_not_used_and_changes_nothing(
    network, images, left, path, tmp_path, spoil, reason
):
    whole = Run(network, images, left, tmp_path / "other.safetensors")
    spoil(path)
    run = Run(network, images, left, path)
    assert len(run.notes) >= 1 and run.notes[0].startswith("checkpoint.safetensors ")
    assert re.fullmatch(
        rf"checkpoint.safetensors {reason}; it is not used, the search begins anew", run.notes[0]
    )
    assert_same(run, whole)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"carried.threshold": torch.ones(3)}, "holds carried.threshold as torch.float32 (3,), not "),
        ({"carried.threshold": None}, "lacks carried.threshold"),
    ],
)
def test_carried_thresholds_of_another_network_are_not_used_and_change_nothing(
    network, images, settings_with, path, tmp_path, change, reason
):
    settings = settings_with(epochs=EPOCHS, prune=0.7)
    whole = Run(network, images, settings, tmp_path / "other.safetensors", "captured")
    Run(network, images, settings, path, "captured", stop_at=STEPS * 3 + 1)
    found = read_checkpoint(path)
    tensors = {name: t for name, t in (found.tensors | change).items() if t is not None}
    write_checkpoint(dataclasses.replace(found, tensors=tensors), path)
    run = Run(network, images, settings, path, "captured")
    assert run.notes[0].startswith(f"checkpoint.safetensors {reason}")
    assert_same(run, whole)


def test_what_a_killed_write_left_is_removed(network, images, left, path):
    litter = path.with_name(f".{path.name}.partial-0a1b2c3d")
    litter.write_bytes(b"half")
    Run(network, images, left, path)
    assert not litter.exists()


def test_a_full_disk_is_told_once_and_the_checkpoint_before_stays(
    network, images, settings_with, path, monkeypatch
):
    def full(checkpoint, path):
        if len(checkpoint.records) in (3, 4):
            raise OSError(errno.ENOSPC, "No space left on device")
        write_checkpoint(checkpoint, path)

    monkeypatch.setattr(module, "write_checkpoint", full)
    settings = settings_with(epochs=EPOCHS)
    run = Run(network, images, settings, path, stop_at=-5)
    assert run.notes == [
        "the checkpoint of epoch 3 could not be written (No space left on device); that of epoch 2 stays, "
        "and the search goes on: free some space, or an interruption costs more than an epoch"
    ]
    assert len(run.records) == 5 and len(read_checkpoint(path).records) == 2
    assert Run(network, images, settings, path).notes[0] == f"continues after epoch 2 of 6 ({path.name})"


def test_a_folder_that_cannot_be_written_does_not_stop_the_search(network, images, settings_with, tmp_path):
    (tmp_path / "file").write_text("")
    run = Run(network, images, settings_with(epochs=3), tmp_path / "file" / "checkpoint.safetensors")
    assert len(run.records) == 3 and len(run.notes) == 1
    assert "could not be written" in run.notes[0] and "there is none yet" in run.notes[0]


@pytest.fixture
def slow_disk(monkeypatch):
    """Writes of 0.1 s, many epochs long, by which tensors must not have changed; returns the epochs saved."""
    saved = []

    def slow(checkpoint, path):
        scores = checkpoint.tensors["score.5.weight"].clone()
        time.sleep(0.1)
        assert torch.equal(checkpoint.tensors["score.5.weight"], scores)
        write_checkpoint(checkpoint, path)
        saved.append(len(checkpoint.records))

    monkeypatch.setattr(module, "write_checkpoint", slow)
    return saved


def test_on_a_slow_disk_every_epoch_is_saved_before_the_second_after_it_is_finished(
    network, images, settings_with, path, slow_disk
):
    unsaved = []

    class Seeing(Run):
        def listen(self):
            unsaved.append(len(self.records) - max(slow_disk, default=0))

    run = Seeing(network, images, settings_with(epochs=EPOCHS), path)
    assert unsaved == [1] * EPOCHS and slow_disk == list(range(1, EPOCHS))
    assert run.notes == []


def test_that_the_search_waits_for_the_disk_is_told_once(
    network, images, settings_with, path, slow_disk, monkeypatch
):
    monkeypatch.setattr(module, "PATIENCE", 0.15)
    run = Run(network, images, settings_with(epochs=EPOCHS), path)
    assert run.notes == [
        "the disk takes longer for a checkpoint than the search for an epoch; the search waits for it, so "
        "that an interruption costs no more: an --output-dir on a faster disk spares the time"
    ]
    assert len(run.records) == EPOCHS


def test_the_last_epoch_writes_none(network, images, settings_with, path):
    Run(network, images, settings_with(epochs=1), path)
    assert not path.exists()


class Exploding(nn.Module):
    """Its loss is NaN at the eleventh step, in the third epoch."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.steps = inner, 0
        self.register_buffer("seen", torch.zeros(()), persistent=False)

    def forward(self, images):
        self.seen += self.training
        return self.inner(images) * torch.where(self.seen == 11, math.nan, 1.0)


def test_a_loss_that_is_not_finite_keeps_the_last_good_state_and_says_what_to_do(
    network, images, settings_with, path
):
    """On a CPU the same command comes to the same step again: that is said."""
    settings = settings_with(epochs=4, learning_rate=0.25)
    message = (
        "the loss is not finite at step 11, in epoch 3 (learning rate 0.0772); try a lower "
        f"--learning-rate than 0.25, or a larger --batch-size. What it had after epoch 2 is kept in {path}: "
        "the same command with --learning-rate-after 2:0.025 continues there at a lower rate (without it, on "
        "a CPU, to the same end); another setting is another search, which begins anew: give --force search, "
        "or another --output-dir"
    )
    for _ in range(2):
        with pytest.raises(RecycleError) as caught:
            Run(Exploding(network), images, settings, path)
        assert str(caught.value) == message
        assert len(read_checkpoint(path).records) == 2
