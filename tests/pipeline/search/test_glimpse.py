"""The loss while an epoch trains: what is told is of the epoch so far, and looking changes nothing."""

import itertools

import pytest
import torch

from recycle_pipeline.pipeline.search import glimpse
from recycle_pipeline.pipeline.search.glimpse import Glimpse
from recycle_pipeline.pipeline.search.listeners import Listeners
from recycle_pipeline.pipeline.search.loop import search

CUDA = pytest.param(
    "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
)


@pytest.fixture
def always(monkeypatch):
    monkeypatch.setattr(glimpse, "SECONDS", 0.0)


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_a_look_gives_the_values_at_the_time_it_was_asked_for(always, device):
    sums = torch.zeros(3, dtype=torch.float64, device=device)
    looking = Glimpse(sums)
    for number in range(3):
        sums.fill_(number)
        seen = looking.look()
        while seen is None:  # on CUDA the copy may still be under way
            sums.fill_(-1.0)
            seen = looking.look()
        assert seen == [float(number)] * 3


def test_looks_come_no_closer_than_a_person_reads(monkeypatch):
    times = itertools.chain([10.0], [10.0], itertools.count(10.0, 0.05))
    monkeypatch.setattr(glimpse.time, "monotonic", lambda: next(times))
    monkeypatch.setattr(glimpse, "SECONDS", 0.2)
    looking = Glimpse(torch.ones(1))
    seen = [looking.look() is not None for _ in range(10)]
    assert seen[0] and 1 < sum(seen) < 5


def told_by(network, images, settings, engine, device="cpu"):
    """What is told at each step, the records, and the masks of the end."""
    records, told = [], []
    on_step = lambda done, total, so_far: told.append((done, so_far))  # noqa: E731
    masked = search(
        network, images, settings, torch.device(device), Listeners(records.append, on_step), engine=engine
    )
    return told, records, [layer.weight.mask.clone() for layer in masked.layers]


@pytest.mark.parametrize("engine", ["eager", "captured"])
def test_the_last_word_on_an_epoch_is_its_record_and_each_begins_anew(
    always, image_set, settings_with, small_network, engine
):
    told, records, _ = told_by(small_network(), image_set(train=24), settings_with(epochs=3), engine)
    ends = {done: so_far for done, so_far in told if done % 3 == 0}.values()
    assert [(end.loss, end.train_accuracy) for end in ends] == [(r.loss, r.train_accuracy) for r in records]
    firsts = [so_far for done, so_far in told if done % 3 == 1]
    assert all(first.train_accuracy * 8 % 1 == 0 for first in firsts)  # of 8 images, not of more


def test_it_tells_the_rate_in_force_and_what_events_by_steps_wrote(
    always, image_set, settings_with, small_network
):
    settings = settings_with(epochs=6, scope="global", prune=0.75, reuse="recycle", reuse_period_steps=2)
    told, records, _ = told_by(small_network(), image_set(train=24), settings, "eager")
    for end, record in zip([so_far for done, so_far in told if done % 3 == 0], records, strict=True):
        assert (end.prune, end.written) == (record.prune, record.written)
    assert len({so_far.prune for _, so_far in told}) == 3 and told[-1][1].written > 0


@pytest.mark.parametrize("engine", ["eager", "captured"])
def test_looking_often_or_never_the_masks_are_the_same(
    monkeypatch, image_set, settings_with, small_network, engine
):
    found = []
    for seconds in (0.0, 1e9):
        torch.manual_seed(1)
        monkeypatch.setattr(glimpse, "SECONDS", seconds)
        found.append(told_by(small_network(), image_set(train=24), settings_with(epochs=4), engine))
    (_, often, masks), (_, never, others) = found
    assert [r.loss for r in often] == [r.loss for r in never]
    assert all(torch.equal(one, other) for one, other in zip(masks, others, strict=True))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("engine", ["eager", "captured"])
def test_on_cuda_the_loss_is_told_while_the_epoch_trains(always, image_set, settings_with, engine):
    torch.manual_seed(0)
    layers = torch.nn.Conv2d(1, 6, 3, bias=False), torch.nn.BatchNorm2d(6), torch.nn.Flatten()
    network = torch.nn.Sequential(*layers, torch.nn.Linear(216, 3, bias=False))
    images, settings = image_set(train=24 * 100), settings_with(epochs=2)  # of 300 steps
    told, records, _ = told_by(network, images, settings, engine, "cuda")
    for epoch, record in enumerate(records):
        losses = {so_far.loss for done, so_far in told if epoch * 300 < done < epoch * 300 + 300}
        assert len(losses - {None}) > 2
        assert all(0.1 * record.loss < loss < 10 * record.loss for loss in losses - {None})
