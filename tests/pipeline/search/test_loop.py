"""The search loop against a loop written out in the test, its events, and its one failure."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from recycle_pipeline.models.errors import RecycleError
from recycle_pipeline.models.masked_network import MaskedNetwork
from recycle_pipeline.pipeline.search import eager, loop
from recycle_pipeline.pipeline.search.batches import Normalise
from recycle_pipeline.pipeline.search.eager import evaluate
from recycle_pipeline.pipeline.search.listeners import Listeners
from recycle_pipeline.pipeline.search.loop import search
from recycle_pipeline.pipeline.search.settings import learning_rate_at


@pytest.fixture
def searched(small_network, cpu):
    """Searches; returns the masked network and the records."""

    def run(images, settings, network=None):
        records = []
        masked = search(network or small_network(), images, settings, cpu, Listeners(records.append))
        return masked, records

    return run


@pytest.fixture
def tensors_of(image_set, cpu):
    def make(images):
        return Normalise(images, cpu)(torch.from_numpy(images.train_images)), torch.from_numpy(
            images.train_labels
        )

    return make


@pytest.mark.parametrize(
    "changes", [{}, {"momentum": 0.0}, {"weight_decay": 0.1}, {"label_smoothing": 0.3}], ids=str
)
@pytest.mark.parametrize("warmup", [0.0, 2.0])
def test_scores_follow_sgd_with_momentum_and_decay(
    image_set, settings_with, small_network, searched, tensors_of, changes, warmup
):
    """One batch holds all images, so their order does not matter; 1e-5 for sums taken in another order."""
    images = image_set(train=24)
    settings = settings_with(epochs=4, batch_size=24, warmup=warmup, learning_rate=0.2, **changes)
    found, records = searched(images, settings)

    reference = MaskedNetwork(small_network(), settings.recipe)
    pixels, labels = tensors_of(images)
    velocity = [torch.zeros_like(scores) for scores in reference.scores]
    losses = []
    for step in range(4):
        rate = learning_rate_at(settings, step, 1)
        reference.refresh()
        loss = F.cross_entropy(reference.network(pixels), labels, label_smoothing=settings.label_smoothing)
        losses.append(loss.item())
        gradients = torch.autograd.grad(loss, reference.scores)
        with torch.no_grad():
            for scores, gradient, past in zip(reference.scores, gradients, velocity, strict=True):
                past.mul_(settings.momentum).add_(gradient + settings.weight_decay * scores)
                scores.sub_(rate * past)
    for scores, expected in zip(found.scores, reference.scores, strict=True):
        torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-5)
    assert [r.loss for r in records] == pytest.approx(losses, rel=1e-5)
    assert [r.learning_rate for r in records] == [learning_rate_at(settings, s, 1) for s in range(4)]


def test_loss_and_accuracy_are_means_over_images_not_batches(
    image_set, settings_with, small_network, searched, tensors_of
):
    """23 images in batches of 8, 8 and 7; the rate is too small to change a score."""
    images = image_set(train=23)
    settings = settings_with(learning_rate=1e-30, weight_decay=0.0)
    _, (record,) = searched(images, settings)
    pixels, labels = tensors_of(images)
    logits = MaskedNetwork(small_network(), settings.recipe).network(pixels)
    assert record.loss == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
    assert record.train_accuracy == pytest.approx((logits.argmax(1) == labels).double().mean().item())


def test_records_count_epochs_steps_and_time(image_set, settings_with, small_network, cpu):
    steps, records = [], []
    settings = settings_with(epochs=3)
    on_step = lambda done, total, so_far: steps.append((done, total))  # noqa: E731
    search(small_network(), image_set(train=20), settings, cpu, Listeners(records.append, on_step))
    assert [record.epoch for record in records] == [1, 2, 3]
    assert steps == [(step, 9) for step in range(1, 10)]
    assert all(record.images_per_second > 0 for record in records)
    seconds = [record.seconds for record in records]
    assert seconds == sorted(seconds) and seconds[0] > 0


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_the_result_is_in_eval_mode_with_exact_masks_for_its_scores(
    image_set, settings_with, searched, kind, scope
):
    settings = settings_with(epochs=6, prune=0.9, kind=kind, scope=scope)
    masked, records = searched(image_set(), settings)
    assert not masked.network.training
    masks = [tensor.mask for tensor in masked.tensors()]
    expected = [64, 3] if scope == "layer" else [None, None]
    for mask, kept in zip(masks, expected, strict=True):
        assert kept is None or np.count_nonzero(mask) == kept
    if scope == "global":
        assert sum(map(np.count_nonzero, masks)) == 67
    masked.refresh()
    for tensor, mask in zip(masked.tensors(), masks, strict=True):
        assert np.array_equal(tensor.mask, mask)
    ramp = [0.5, 0.9 - 0.4 * 0.5**3] if scope == "global" else [0.9, 0.9]
    assert [record.prune for record in records] == pytest.approx([*ramp, 0.9, 0.9, 0.9, 0.9])


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_what_is_evaluated_has_the_masks_of_the_scores_after_the_last_step(
    image_set, settings_with, searched, monkeypatch, scope
):
    """One step at the full rate, so that the masks of the step before are others."""
    masks = []
    real = MaskedNetwork.refresh
    monkeypatch.setattr(
        MaskedNetwork,
        "refresh",
        lambda self, *a: real(self, *a) or masks.append([t.mask for t in self.tensors()]),
    )
    settings = settings_with(batch_size=24, learning_rate=5.0, scope=scope)
    masked, _ = searched(image_set(train=24), settings)
    assert not all(map(np.array_equal, masks[0], masks[-1]))
    final = [tensor.mask for tensor in masked.tensors()]
    masked.refresh()
    assert all(map(np.array_equal, final, masks[-1]))


def test_learning_happens(image_set, settings_with, searched):
    _, records = searched(image_set(train=48), settings_with(epochs=30, learning_rate=0.5))
    assert records[-1].loss < 0.5 * records[0].loss
    assert records[0].train_accuracy < 0.6 and records[-1].train_accuracy > 0.8


def test_the_same_network_is_searched_in_train_mode_and_its_batch_norm_learns(
    image_set, settings_with, searched
):
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3))
    masked, _ = searched(image_set(), settings_with(), network.eval())
    assert masked.network is network
    assert network[1].num_batches_tracked == 3
    assert torch.all(network[1].weight == 1) and torch.all(network[1].bias == 0)  # affine, frozen
    assert torch.all(network[0].bias == 0) and torch.all(network[3].bias == 0)


@pytest.mark.parametrize("factor", [math.inf, math.nan])
def test_a_loss_that_is_not_finite_stops_the_search_and_says_where_and_what_to_do(
    image_set, settings_with, searched, small_network, factor
):
    class Exploding(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = small_network()
            self.steps = 0

        def forward(self, images):
            self.steps += self.training
            return self.inner(images) * (factor if self.steps == 5 else 1.0)

    settings = settings_with(epochs=3, learning_rate=0.25)
    message = (
        r"^the loss is not finite at step 5, in epoch 2 \(learning rate 0\.147\); "
        r"try a lower --learning-rate than 0\.25, or a larger --batch-size$"
    )
    with pytest.raises(RecycleError, match=message) as caught:
        searched(image_set(train=24), settings, Exploding())
    assert caught.value.exit_code == 1


def test_scores_that_are_not_finite_stop_the_search_though_the_loss_is(image_set, settings_with, searched):
    """The loss depends on the masks alone, and stays finite."""
    message = (
        r"^the scores are not finite though the loss is, since one of steps 1 to 3, in epoch 1 "
        r"\(learning rate 2\.25e\+38 to 3e\+38\); try a lower"
    )
    with pytest.raises(RecycleError, match=message):
        searched(image_set(), settings_with(epochs=2, learning_rate=3e38))


@pytest.mark.parametrize("reuse", ["recycle", "rerandomize", "none"])
def test_events_come_after_the_evaluation_with_the_asked_rate_and_number(
    image_set, settings_with, searched, monkeypatch, reuse
):
    """The record of an epoch never contains that epoch's event; draws are numbered 1, 2, 3."""
    calls = []
    real = MaskedNetwork.recycle, MaskedNetwork.rerandomize, loop.evaluate
    monkeypatch.setattr(MaskedNetwork, "recycle", lambda *a: calls.append(("event", *a[1:])) or real[0](*a))
    monkeypatch.setattr(
        MaskedNetwork, "rerandomize", lambda *a: calls.append(("event", *a[1:])) or real[1](*a)
    )
    for module in (eager, loop):  # between epochs, and after the last
        monkeypatch.setattr(module, "evaluate", lambda *a: calls.append("test") or real[2](*a))
    searched(image_set(), settings_with(epochs=8, reuse=reuse, reuse_rate=0.3, reuse_period=2))
    number = {"recycle": lambda n: ("event", 0.3, "top"), "rerandomize": lambda n: ("event", 0.3, n)}
    events = [] if reuse == "none" else [number[reuse](n) for n in (1, 2, 3)]
    expected = ["test"] * 8
    for position, event in zip((3, 6, 9), events, strict=False):
        expected.insert(position, event)
    assert calls == expected


def test_recycling_is_counted_in_the_records_and_moves_weights(image_set, settings_with, searched):
    settings = settings_with(epochs=6, reuse="recycle", reuse_rate=0.2)
    masked, records = searched(image_set(), settings)
    share = int(0.2 * 640) + int(0.2 * 30)
    assert [record.written for record in records] == [0, 0, share, 0, share, 0]
    assert all(0 < r.changed <= r.written for r in records if r.written)
    flat = [np.unique(layer.provenance.source.numpy()) for layer in masked._layers]
    assert all(
        len(sources) < layer.scores.numel() for sources, layer in zip(flat, masked._layers, strict=True)
    )


def test_rerandomizing_is_counted_and_its_draws_are_numbered_from_one(image_set, settings_with, searched):
    settings = settings_with(epochs=6, reuse="rerandomize", reuse_rate=0.5)
    masked, records = searched(image_set(), settings)
    assert [bool(record.written) for record in records] == [False, False, True, False, True, False]
    assert all(record.changed == record.written for record in records)  # a normal draw repeats no value
    for record in records:  # 335 pruned, each with probability one half: +- 5 standard deviations of 9.2
        assert not record.written or 121 < record.written < 214
    assert {int(n) for layer in masked._layers for n in layer.provenance.draw.unique()} == {0, 1, 2}


def test_accuracy_equals_a_count_by_hand(image_set, small_network, cpu):
    """700 images, so that the last of two batches is a part."""
    images, network = image_set(test=700), small_network().train()
    logits = network(Normalise(images, cpu)(torch.from_numpy(images.test_images))).detach().numpy()
    correct = sum(int(row.argmax() == label) for row, label in zip(logits, images.test_labels, strict=True))
    assert 0 < correct < 700
    assert evaluate(network, images, cpu) == correct / 700
    assert not network.training


def test_accuracy_is_taken_on_the_test_split(image_set, small_network, cpu):
    class Fixed(nn.Module):
        def forward(self, pixels):
            return torch.eye(3)[torch.zeros(len(pixels), dtype=torch.int64)]

    assert evaluate(Fixed(), image_set(train=24, test=3), cpu) == 1 / 3
    assert evaluate(Fixed(), image_set(train=24, test=4), cpu) == 2 / 4
