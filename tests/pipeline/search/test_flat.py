"""The flat state against the masked network that it stands for: layout, update, thresholds, weights."""

import numpy as np
import pytest
import torch
from torch import nn

from recycle_pipeline.models.masked_network import MaskedNetwork
from recycle_pipeline.pipeline.search import layout as layout_module
from recycle_pipeline.pipeline.search.flat import FlatScores
from recycle_pipeline.pipeline.search.layout import BLOCK, Layout

KINDS = [("binary", "layer"), ("continuous", "layer"), ("binary", "global"), ("continuous", "global")]


@pytest.fixture
def network():
    """A convolution, a grouped one, and a linear layer of more than one row."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 40, 3, bias=False),
        nn.Conv2d(40, 20, (1, 2), groups=2, bias=False),
        nn.Flatten(),
        nn.Linear(100, 30, bias=False),
    )


@pytest.fixture
def masked_with(settings_with, network):
    def make(**changes):
        recipe = settings_with(**({"prune": 0.9} | changes)).recipe
        masked = MaskedNetwork(network, recipe)
        masked.refresh()
        return masked

    return make


def flat_of(masked, **changes):
    options = {"optimizer": "sgd", "momentum": 0.9, "decay": 5e-4} | changes
    flat = FlatScores(masked, **options)
    flat.load(masked.recipe.prune)
    return flat


def gradients_of(masked, seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(layer.scores.shape, generator=generator) * 0.1 for layer in masked.layers]


def test_what_is_joined_is_seen_again_at_its_place():
    shapes = [(5, 7, 3, 2), (3, 1000), (4,), (2, 512)]
    layout = Layout(shapes, torch.device("cpu"))
    tensors = [torch.randn(shape) for shape in shapes]
    flat = layout.joined(tensors)
    assert flat.shape == (1 + 3 + 1 + 1, BLOCK) and layout.layer_of_row.tolist() == [0, 1, 1, 1, 2, 3]
    for place, tensor in zip(layout.places, tensors, strict=True):
        assert torch.equal(place.view(flat), tensor)
    assert flat.count_nonzero() == sum(tensor.numel() for tensor in tensors)  # the rest is padding
    assert layout.places[0].view(flat).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("kind", "scope"), KINDS)
def test_loading_takes_over_the_exact_effective_weights(masked_with, kind, scope):
    masked = masked_with(kind=kind, scope=scope)
    flat = flat_of(masked)
    for view, layer in zip(flat.views(), masked.layers, strict=True):
        assert torch.equal(view, layer.weight.effective)


@pytest.mark.parametrize(("kind", "scope"), KINDS)
def test_a_step_of_rate_zero_leaves_the_exact_weights_as_they_are(masked_with, kind, scope):
    """The thresholds move between their probes, so a few kept at the margin may change."""
    masked = masked_with(kind=kind, scope=scope)
    flat = flat_of(masked)
    flat.update(gradients_of(masked, 0), torch.tensor(0.0))
    for view, layer in zip(flat.views(), masked.layers, strict=True):
        exact = layer.weight.effective
        changed = ((view != 0) != (exact != 0)).sum().item()
        assert changed <= max(2, 0.03 * layer.weight.mask.sum().item())
        both = (view != 0) & (exact != 0)
        torch.testing.assert_close(view[both].float(), exact[both], rtol=0.02, atol=0)


def after_five_steps(flat, masked, rate, optimizer, **options):
    """Takes five steps and stores the scores; returns those that torch's optimizer comes to from the same."""
    reference = [layer.scores.detach().clone().requires_grad_() for layer in masked.layers]
    torchs = optimizer(reference, rate, **options)
    for step in range(5):
        gradients = gradients_of(masked, step)
        flat.update(gradients, torch.tensor(rate))
        for scores, gradient, layer in zip(reference, gradients, masked.layers, strict=True):
            scores.grad = scores.detach().sign() * layer.weight.weight * gradient
        torchs.step()
    flat.store()
    return reference


@pytest.mark.parametrize(("kind", "scope"), KINDS)
def test_scores_follow_the_same_sgd_as_torchs(masked_with, kind, scope):
    masked = masked_with(kind=kind, scope=scope)
    flat = flat_of(masked)
    reference = after_five_steps(flat, masked, 0.1, torch.optim.SGD, momentum=0.9, weight_decay=5e-4)
    for layer, scores in zip(masked.layers, reference, strict=True):
        torch.testing.assert_close(layer.scores, scores, rtol=1e-5, atol=1e-6)


def test_scores_follow_the_same_adam_as_torchs(masked_with):
    masked = masked_with(kind="binary")
    flat = flat_of(masked, optimizer="adam")
    reference = after_five_steps(flat, masked, 0.01, torch.optim.Adam)
    for layer, scores in zip(masked.layers, reference, strict=True):
        torch.testing.assert_close(layer.scores, scores, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_scores_follow_the_same_lars_as_numpys(masked_with, momentum):
    masked = masked_with(kind="binary")
    flat = flat_of(masked, optimizer="lars", momentum=momentum, decay=0.01)
    start = [layer.scores.detach().numpy().astype(np.float64) for layer in masked.layers]
    reference, moves = [s.copy() for s in start], [np.zeros_like(s) for s in start]
    for step in range(5):
        gradients = gradients_of(masked, step)
        flat.update(gradients, torch.tensor(0.02))
        for number, (layer, gradient) in enumerate(zip(masked.layers, gradients, strict=True)):
            scores = reference[number]
            slope = np.sign(scores) * layer.weight.weight.numpy() * gradient.numpy() + 0.01 * scores
            slope *= np.linalg.norm(scores) / np.linalg.norm(slope)
            moves[number] = momentum * moves[number] + 0.02 * slope
            reference[number] = scores - moves[number]
    flat.store()
    for layer, scores in zip(masked.layers, reference, strict=True):
        torch.testing.assert_close(layer.scores.double(), torch.from_numpy(scores), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "scope"), KINDS)
def test_carried_masks_stay_close_to_exact_ones(masked_with, monkeypatch, kind, scope):
    monkeypatch.setattr(layout_module, "SMALL", 0)
    masked = masked_with(kind=kind, scope=scope)
    flat = flat_of(masked)
    for step in range(40):
        flat.update(gradients_of(masked, step % 7), torch.tensor(0.01))
    carried = [(view != 0).clone() for view in flat.views()]
    views = [view.float().clone() for view in flat.views()]
    flat.store()
    masked.refresh()
    total = sum(layer.weight.mask.sum().item() for layer in masked.layers)
    wrong = sum(
        (mask != layer.weight.mask).sum().item() for mask, layer in zip(carried, masked.layers, strict=True)
    )
    assert wrong <= 0.03 * total
    if kind == "binary":
        for view, layer in zip(views, masked.layers, strict=True):
            if layer.weight.mask.any():
                assert view.abs().max().item() == pytest.approx(layer.weight.gain.item(), rel=0.03)


@pytest.mark.parametrize("kind", ["binary", "continuous"])
@pytest.mark.parametrize(("scores", "prune"), [("magnitude", 0.9), ("signed", 0.9), ("signed", 0.3)])
def test_small_layers_have_exact_masks_and_gains_in_every_step(masked_with, kind, scores, prune):
    """Signed scores at 0.3 removed have thresholds below 0, the key of padding."""
    masked = masked_with(kind=kind, scores=scores, prune=prune)
    flat = flat_of(masked)
    for step in range(5):
        flat.update(gradients_of(masked, step), torch.tensor(1.0))
        flat.store()
        masked.refresh()
        for view, layer in zip(flat.views(), masked.layers, strict=True):
            torch.testing.assert_close(view, layer.weight.effective, rtol=1e-5, atol=0)


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_padding_is_not_counted_where_thresholds_are_below_it(masked_with, monkeypatch, scope):
    monkeypatch.setattr(layout_module, "SMALL", 0)
    masked = masked_with(kind="binary", scores="signed", prune=0.3, scope=scope)
    flat = flat_of(masked)
    for step in range(10):
        flat.update(gradients_of(masked, step), torch.tensor(0.01))
    gains = flat.gain.tolist()
    flat.store()
    masked.refresh()
    assert (flat.threshold < 0).all()
    assert gains == pytest.approx([layer.weight.gain.item() for layer in masked.layers], rel=0.02)


def test_a_layer_that_keeps_all_is_kept_whole(masked_with):
    """The widest of the small layers, whose ranking has no score beyond the kept ones."""
    masked = masked_with(kind="binary", prune=1e-6)
    flat = flat_of(masked)
    flat.update(gradients_of(masked, 0), torch.tensor(0.1))
    assert all((view != 0).all() for view in flat.views())


@pytest.mark.parametrize("minimum", [0.0, 0.5])
def test_global_scope_leaves_each_layer_its_promised_minimum(masked_with, minimum):
    masked = masked_with(kind="binary", scope="global", layer_minimum=minimum)
    with torch.no_grad():
        masked.layers[0].scores.mul_(1e-3)
    masked.refresh()
    flat = flat_of(masked)
    flat.update([0 * gradient for gradient in gradients_of(masked, 0)], torch.tensor(0.0))
    kept = (flat.views()[0] != 0).sum().item()
    assert kept == masked.layers[0].weight.mask.sum().item() == (54 if minimum else 0)


def test_far_off_thresholds_come_back(masked_with, monkeypatch):
    monkeypatch.setattr(layout_module, "SMALL", 0)
    masked = masked_with(kind="binary")
    flat = flat_of(masked)
    flat.threshold.mul_(0.2)
    for _ in range(40):
        flat.update(gradients_of(masked, 0), torch.tensor(0.0))
    for view, layer in zip(flat.views(), masked.layers, strict=True):
        kept = layer.weight.mask.sum().item()
        assert (view != 0).sum().item() == pytest.approx(kept, rel=0.05, abs=3)
