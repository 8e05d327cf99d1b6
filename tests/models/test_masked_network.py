"""A network under search: what is masked, trained and frozen, and its masks against numpy."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from recycle_pipeline.models.draws import stream_key, weights_at
from recycle_pipeline.models.init_scale import init_scale, score_bound
from recycle_pipeline.models.masked_network import MaskedNetwork, ReuseEvent
from recycle_pipeline.models.options import ArchOptions
from recycle_pipeline.models.recipe import Recipe
from recycle_pipeline.models.registry import build
from recycle_pipeline.models.topk import kept_count


class Tiny(nn.Module):
    """Every kind of part in few weights: stem, shortcut, classifier, biases, two kinds of batch norm."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4, affine=False)
        self.conv = nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False)
        self.shortcut = nn.Conv2d(4, 6, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.classifier = nn.Linear(6, 5)

    def forward(self, x):
        x = self.bn(self.stem(x)).relu()
        x = self.norm(self.conv(x) + self.shortcut(x)).relu()
        return self.classifier(x.mean((2, 3)))


NAMES = ["stem", "conv", "shortcut", "classifier"]


def recipe(**changed):
    plain = {
        "seed": 7,
        "kind": "binary",
        "prune": 0.7,
        "init": "kaiming_normal",
        "scale_fan": "keep",
        "scope": "layer",
    }
    return Recipe(**(plain | changed))


def tiny(device="cpu", **changed):
    return MaskedNetwork(Tiny().to(device), recipe(**changed))


def reference(masked):
    """Effective weights by name, from draws and scores, in numpy."""
    r = masked.recipe
    scores = [s.detach().abs().cpu().numpy() for s in masked.scores]
    order = np.argsort(-np.concatenate([s.ravel() for s in scores]), kind="stable")
    best = np.isin(np.arange(order.size), order[: kept_count(order.size, r.prune)])
    parts = np.split(best, np.cumsum([s.size for s in scores])[:-1])
    result = {}
    for name, score, part in zip(NAMES, scores, parts, strict=True):
        mask = part.reshape(score.shape)
        if r.scope == "layer":
            kept = np.argsort(-score.ravel(), kind="stable")[: kept_count(score.size, r.prune)]
            mask = np.isin(np.arange(score.size), kept).reshape(score.shape)
        scale = init_scale(score.shape, r.init, r.scale_fan, r.prune)
        drawn = weights_at(stream_key(r.seed, name), np.arange(score.size), r.init, scale).reshape(
            score.shape
        )
        gain = np.abs(drawn[mask].astype(np.float64)).mean() if mask.any() else 0.0
        result[f"{name}.weight"] = mask * (np.sign(drawn) * gain if r.kind == "binary" else drawn)
    return result


@pytest.mark.parametrize("kind", ["binary", "continuous"])
@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("scale_fan", ["keep", "none", "published"])
def test_effective_weights_are_the_numpy_reference(kind, scope, scale_fan, device):
    masked = tiny(device, kind=kind, scope=scope, scale_fan=scale_fan)
    expected = reference(masked)
    assert list(masked.effective()) == list(expected)
    for name, effective in masked.effective().items():
        np.testing.assert_allclose(effective.cpu().numpy(), expected[name], rtol=1e-5, err_msg=name)


def test_first_last_and_shortcut_layers_are_masked():
    masked = tiny()
    assert [tensor.name for tensor in masked.tensors()] == NAMES
    assert masked.size == 4 * 18 + 6 * 36 + 24 + 30


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("arch", ["conv6", "resnet18"])
def test_the_kept_count_holds_per_layer_or_over_all(arch, scope):
    network = build(arch, classes=10, channels=3, image_size=8, options=ArchOptions(width=0.5))
    masked = MaskedNetwork(network, recipe(init="signed_constant", scope=scope, prune=0.8))
    tensors = masked.tensors()
    if scope == "layer":
        assert [t.kept for t in tensors] == [kept_count(t.size, 0.8) for t in tensors]
        return
    assert sum(t.kept for t in tensors) == kept_count(masked.size, 0.8)
    scores = torch.cat([s.detach().abs().reshape(-1) for s in masked.scores])
    mask = torch.cat([torch.from_numpy(t.mask).reshape(-1) for t in tensors])
    assert scores[mask].min() >= scores[~mask].max()


def test_scores_are_uniform_draws_of_their_own_stream():
    for name, scores in zip(NAMES, tiny().scores, strict=True):
        key, shape = stream_key(7, name, purpose="score"), tuple(scores.shape)
        expected = weights_at(key, np.arange(scores.numel()), "kaiming_uniform", score_bound(shape))
        np.testing.assert_array_equal(scores.detach().numpy().ravel(), expected)
        assert scores.abs().max() < 1 / math.sqrt(math.prod(shape[1:]))


def test_scores_and_nothing_else_are_trained():
    masked = tiny()
    trained = [p for p in masked.network.parameters() if p.requires_grad]
    assert [id(p) for p in trained] == [id(s) for s in masked.scores]
    masked.network(torch.randn(3, 2, 6, 6)).square().sum().backward()
    with_gradient = [id(p) for p in masked.network.parameters() if p.grad is not None]
    assert with_gradient == [id(s) for s in masked.scores]


def test_learned_batch_norms_are_trained_with_the_scores_and_nothing_else():
    masked = tiny(batch_norm="learned")
    assert [id(p) for p in masked.others] == [id(masked.network.norm.weight), id(masked.network.norm.bias)]
    masked.network(torch.randn(3, 2, 6, 6)).square().sum().backward()
    with_gradient = {id(p) for p in masked.network.parameters() if p.grad is not None}
    assert with_gradient == {id(p) for p in (*masked.scores, *masked.others)}
    assert tiny().others == []


def test_learned_gamma_and_beta_are_in_the_state():
    masked = tiny(batch_norm="learned")
    with torch.no_grad():
        for parameter in masked.others:
            parameter.add_(torch.arange(6) / 8)
    state = masked.state()
    assert state["norm.weight"].tolist() == [1, 1.125, 1.25, 1.375, 1.5, 1.625]
    assert state["norm.bias"].tolist() == [0, 0.125, 0.25, 0.375, 0.5, 0.625]


@pytest.mark.parametrize("arch", ["conv2", "resnet20", "vgg_small_bn"])
def test_every_gamma_and_beta_of_an_architecture_is_among_the_others(arch):
    options = ArchOptions(width=0.25, activations="binary", batch_norm="learned")
    network = build(arch, classes=3, channels=2, image_size=8, options=options)
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    masked = MaskedNetwork(network, recipe(batch_norm="learned"))
    assert len(masked.others) == 2 * len(norms) > 0
    network.train()(torch.randn(4, 2, 8, 8)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in (*masked.scores, *masked.others))


def test_biases_are_zero_and_frozen():
    network = tiny().network
    for bias in (network.stem.bias, network.classifier.bias):
        assert not bias.any() and not bias.requires_grad


def test_the_global_generator_has_no_say():
    torch.manual_seed(0)
    first = tiny().effective()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    network = Tiny()
    torch.set_rng_state(state)
    second = MaskedNetwork(network, recipe()).effective()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_another_seed_gives_other_weights_and_other_masks():
    a, b = tiny(seed=0).tensors(), tiny(seed=1).tensors()
    assert all((x.mask != y.mask).any() for x, y in zip(a, b, strict=True))
    assert not np.array_equal(a[0].weights(0), b[0].weights(1))


def test_masks_follow_the_scores_at_the_next_refresh_and_not_before():
    masked = tiny(kind="continuous")
    before = masked.effective()
    with torch.no_grad():
        for scores in masked.scores:
            scores.copy_(scores.flatten().flip(0).reshape(scores.shape))
    assert all(torch.equal(before[name], now) for name, now in masked.effective().items())
    masked.refresh()
    for name, now in masked.effective().items():
        np.testing.assert_array_equal(now.numpy(), reference(masked)[name])
        assert not torch.equal(before[name], now)


@pytest.mark.parametrize("prune", [0.25, 0.5])
def test_a_schedule_may_ask_for_another_prune_rate(prune):
    masked = tiny()
    masked.refresh(prune)
    assert [t.kept for t in masked.tensors()] == [kept_count(t.size, prune) for t in masked.tensors()]
    masked.refresh()
    assert [t.kept for t in masked.tensors()] == [kept_count(t.size, 0.7) for t in masked.tensors()]


def test_a_schedule_may_ask_for_nothing_removed():
    masked = tiny()
    masked.refresh(0.0)
    assert [t.kept for t in masked.tensors()] == [t.size for t in masked.tensors()]


def test_pruned_effective_weights_are_positive_zero():
    """A ticket rebuilds to +0, and digests compare bits."""
    for effective in tiny().effective().values():
        assert not effective[effective == 0].signbit().any()


def test_a_global_mask_may_leave_a_layer_with_nothing():
    masked = tiny(scope="global")
    with torch.no_grad():
        masked.scores[2].zero_()
    masked.refresh()
    tensor = masked.tensors()[2]
    assert tensor.kept == 0 and tensor.gain == 0
    assert masked.network.eval()(torch.randn(2, 2, 6, 6)).isfinite().all()


def test_state_is_every_array_but_masked_weights_and_batch_counts():
    masked = tiny()
    masked.network.train()(torch.randn(8, 2, 6, 6))
    state = masked.state()
    plain = {name for name in Tiny().state_dict() if not name.endswith("num_batches_tracked")}
    assert set(state) == plain - {f"{name}.weight" for name in NAMES}
    np.testing.assert_array_equal(state["bn.running_mean"], masked.network.bn.running_mean.numpy())
    assert state["bn.running_mean"].any()


def test_handed_over_arrays_are_copies():
    masked = tiny()
    state, effective, masks = masked.state(), masked.effective(), [t.mask.copy() for t in masked.tensors()]
    tensors = masked.tensors()
    masked.network.train()(torch.randn(8, 2, 6, 6))
    with torch.no_grad():
        for scores in masked.scores:
            scores.copy_(scores.flatten().flip(0).reshape(scores.shape))
    masked.refresh()
    assert not state["bn.running_mean"].any()
    assert not torch.equal(effective["conv.weight"], masked.effective()["conv.weight"])
    for tensor, mask in zip(tensors, masks, strict=True):
        np.testing.assert_array_equal(tensor.mask, mask)


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_recycle_reports_what_it_wrote_in_all_layers_and_leaves_scores_alone(kind):
    masked = tiny(kind=kind)
    scores = [s.detach().clone() for s in masked.scores]
    before = masked.effective()
    event = masked.recycle(0.2)
    assert event.written == int(0.2 * 72) + int(0.2 * 216) + int(0.2 * 24) + int(0.2 * 30)
    assert event.written == event.changed  # continuous draws: equal values are unlikely
    assert all(torch.equal(a, b) for a, b in zip(scores, masked.scores, strict=True))
    assert all(torch.equal(before[name], now) for name, now in masked.effective().items())


def test_recycled_weights_count_at_the_next_refresh():
    """With nothing pruned away but 10 %, low scores are active and take high-scored weights."""
    masked = tiny(kind="continuous", prune=0.1)
    before = masked.effective()
    masked.recycle(0.5)
    masked.refresh()
    assert all(not torch.equal(before[name], now) for name, now in masked.effective().items())


def test_about_half_of_recycled_signed_constants_change():
    masked = MaskedNetwork(nn.Sequential(nn.Linear(300, 100, bias=False)), recipe(init="signed_constant"))
    event = masked.recycle(0.2)
    assert event.written == 6000
    assert abs(event.changed - 3000) < 5 * math.sqrt(6000) / 2


def test_rerandomize_redraws_pruned_weights_of_each_layer_with_its_probability():
    network = nn.Sequential(nn.Linear(300, 100, bias=False), nn.ReLU(), nn.Linear(100, 100, bias=False))
    masked = MaskedNetwork(network, recipe(prune=0.5))
    event = masked.rerandomize(0.1, 1)
    assert abs(event.written - 2000) < 5 * math.sqrt(20_000 * 0.09)
    assert event.changed == event.written


def test_events_of_other_numbers_pick_and_draw_anew():
    def active(*numbers):
        masked = tiny(kind="continuous", prune=0.5)
        events = [masked.rerandomize(0.5, number) for number in numbers]
        masked.refresh(0.01)
        return events, masked.effective()["conv.weight"]

    first, a = active(1)
    again, b = active(1)
    other, c = active(2)
    assert first == again and torch.equal(a, b)
    assert first != other and not torch.equal(a, c)
    assert isinstance(first[0], ReuseEvent)


def test_rerandomize_never_touches_a_kept_weight_of_the_network():
    masked = tiny(kind="continuous")
    before = masked.effective()
    masked.rerandomize(1.0, 1)
    masked.refresh()
    assert all(torch.equal(before[name], now) for name, now in masked.effective().items())


def test_a_step_of_sgd_on_the_scores_lowers_the_loss():
    torch.manual_seed(0)
    masked, images, labels = tiny(prune=0.5), torch.randn(32, 2, 6, 6), torch.randint(0, 5, (32,))
    optimizer = torch.optim.SGD(masked.scores, lr=0.2, momentum=0.9)
    losses = []
    for _ in range(30):
        loss = nn.functional.cross_entropy(masked.network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        masked.refresh()
        losses.append(loss.item())
    assert min(losses[-5:]) < losses[0] - 0.1


def test_signed_scores_are_drawn_wider_and_rank_as_they_are():
    masked = tiny(scores="signed", rounding="iterand", kind="continuous")
    for name, scores, tensor in zip(NAMES, masked.scores, masked.tensors(), strict=True):
        key, shape = stream_key(7, name, purpose="score"), tuple(scores.shape)
        bound = score_bound(shape, "signed")
        expected = weights_at(key, np.arange(scores.numel()), "kaiming_uniform", bound)
        np.testing.assert_array_equal(scores.detach().numpy().ravel(), expected)
        lowest = np.sort(expected)[round(0.7 * (expected.size - 1))]
        np.testing.assert_array_equal(tensor.mask.ravel(), expected >= lowest)


def test_signed_scores_recycle_by_the_scores_and_learn_without_their_sign():
    masked = tiny(scores="signed", kind="continuous", prune=0.1)
    layer = masked._layers[1]
    order = layer.scores.detach().reshape(-1).argsort(stable=True)
    before = layer.weight.weight.clone().reshape(-1)
    masked.recycle(0.25)
    k = int(0.25 * order.numel())
    assert torch.equal(layer.weight.weight.reshape(-1)[order[:k]], before[order[-k:]])
    assert layer.weight.rule == "signed"


@pytest.mark.parametrize("rounding", ["edge-popup", "iterand"])
def test_a_guarded_global_mask_leaves_no_layer_with_nothing_and_keeps_its_total(rounding):
    masked = tiny(scope="global", layer_minimum=0.1, rounding=rounding, prune=0.8)
    with torch.no_grad():
        masked.scores[2].zero_()
        masked.scores[3].mul_(1e-20)
    masked.refresh()
    kept = [tensor.kept for tensor in masked.tensors()]
    assert kept[2:] == [1, 1] and sum(kept) == masked.recipe.kept(masked.size)
    masked.refresh(0.5)  # a schedule that keeps more promises more
    assert [tensor.kept for tensor in masked.tensors()][2:] == [1, 1]
    assert sum(tensor.kept for tensor in masked.tensors()) == masked.recipe.kept(masked.size, 0.5)


def test_hybrid_redraws_half_the_rate_and_then_recycles_half():
    network = nn.Sequential(nn.Linear(300, 100, bias=False), nn.ReLU(), nn.Linear(100, 100, bias=False))
    masked = MaskedNetwork(network, recipe(prune=0.5))
    event = masked.hybrid(0.2, 1)
    redrawn = event.written - 3000 - 1000
    assert abs(redrawn - 2000) < 5 * math.sqrt(20_000 * 0.09)
    assert 3000 < event.changed < event.written  # some are redrawn and then recycled


def test_hybrid_is_rerandomize_and_then_recycle(device):
    one, two = tiny(device, kind="continuous", prune=0.5), tiny(device, kind="continuous", prune=0.5)
    one.hybrid(0.4, 3, "next-lowest")
    two.rerandomize(0.2, 3)
    two.recycle(0.2, "next-lowest")
    one.refresh(0.0)
    two.refresh(0.0)
    assert all(torch.equal(one.effective()[name], now) for name, now in two.effective().items())
