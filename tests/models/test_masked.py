"""One masked layer: effective weight, gain and the straight-through gradient, against numpy."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from recycle_pipeline.models.init_scale import SCORE_RULES
from recycle_pipeline.models.masked import KINDS, MaskedWeight


def reference(weight, mask, kind):
    """(effective weight, gain) in float64."""
    if kind == "continuous":
        return weight * mask, 1.0
    gain = np.abs(weight[mask]).mean() if mask.any() else 0.0
    return gain * np.sign(weight) * mask, gain


def random_layer(shape, kind, device="cpu", density=0.4, scores="magnitude"):
    rng = np.random.default_rng(0)
    weight = rng.normal(size=shape).astype(np.float32)
    mask = rng.random(shape) < density
    masked = MaskedWeight(torch.from_numpy(weight).to(device), kind, scores)
    masked.refresh(torch.from_numpy(mask).to(device))
    return masked, weight.copy(), mask


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(8, 3, 3, 3), (10, 64), (1, 1)], ids=str)
def test_effective_weight_and_gain_are_the_numpy_reference(kind, shape, device):
    masked, weight, mask = random_layer(shape, kind, device, density=1.1 if shape == (1, 1) else 0.4)
    effective, gain = reference(weight.astype(np.float64), mask, kind)
    np.testing.assert_allclose(masked.effective.cpu().numpy(), effective, rtol=1e-5)  # a float32 sum
    assert masked.gain.item() == pytest.approx(gain, rel=1e-5)
    assert masked.gain.shape == () and masked.gain.dtype == torch.float32
    np.testing.assert_array_equal(masked.mask.cpu().numpy(), mask)


def test_continuous_effective_weights_are_the_drawn_bits():
    masked, weight, mask = random_layer((8, 3, 3, 3), "continuous")
    np.testing.assert_array_equal(masked.effective.numpy(), np.where(mask, weight, 0))


def test_binary_effective_weights_have_one_magnitude():
    masked, weight, mask = random_layer((10, 64), "binary")
    assert torch.equal(masked.effective.abs()[masked.mask], masked.gain.expand(int(mask.sum())))
    np.testing.assert_array_equal(masked.effective.numpy()[mask] > 0, weight[mask] > 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_with_nothing_kept_is_zero_and_never_nan(kind):
    masked = MaskedWeight(torch.tensor([[0.5, -2.0]]), kind)
    masked.refresh(torch.zeros(1, 2, dtype=torch.bool))
    assert not masked.effective.any() and not masked.effective.isnan().any()
    assert masked.gain.item() == (0.0 if kind == "binary" else 1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_mask_replaces_the_old_one(kind):
    masked, weight, mask = random_layer((10, 64), kind)
    masked.refresh(torch.from_numpy(~mask))
    np.testing.assert_allclose(masked.effective.numpy(), reference(weight, ~mask, kind)[0], rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_weight_takes_effect_at_the_next_refresh(kind):
    masked, weight, mask = random_layer((10, 64), kind)
    before = masked.effective.clone()
    new = np.roll(weight, 7).copy()  # other signs at some places, not at all
    masked.set_weight(torch.from_numpy(new))
    assert torch.equal(masked.effective, before)
    masked.refresh(masked.mask)
    np.testing.assert_allclose(masked.effective.numpy(), reference(new, mask, kind)[0], rtol=1e-6)
    np.testing.assert_array_equal(masked.weight.numpy(), new)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layer_type", ["conv", "linear"])
@pytest.mark.parametrize("rule", SCORE_RULES)
def test_every_score_gets_its_sign_or_one_times_weight_times_gradient(kind, layer_type, rule, device):
    """Kept or not; and the gain is no factor, because no gradient passes through it.

    The gradient by the effective weight comes from the plain layer. Its loss is not linear in the
    weight, so it depends on gain and mask.
    """
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 6, 3, stride=2, bias=False) if layer_type == "conv" else nn.Linear(9, 6, bias=False)
    images = torch.randn((4, 3, 9, 9)).to(device)
    masked, weight, mask = random_layer(tuple(layer.weight.shape), kind, device, scores=rule)
    scores = torch.randn(layer.weight.shape)
    plain = layer.to(device).weight
    plain.data.copy_(masked.effective)
    (gradient,) = torch.autograd.grad(((layer(images) - 1) ** 2).sum(), [plain])

    layer.weight = nn.Parameter(scores.to(device))
    parametrize.register_parametrization(layer, "weight", masked)
    ((layer(images) - 1) ** 2).sum().backward()
    got = layer.parametrizations.weight.original.grad.cpu().numpy()
    sign = np.sign(scores.numpy()) if rule == "magnitude" else 1.0
    expected = sign * weight * gradient.cpu().numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
    assert np.count_nonzero(got[~mask]) == np.count_nonzero(~mask)


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_layer_computes_with_is_the_effective_weight(kind):
    layer = nn.Linear(64, 10, bias=False)
    masked, _, _ = random_layer((10, 64), kind)
    parametrize.register_parametrization(layer, "weight", masked)
    assert torch.equal(layer(torch.eye(64)).T, masked.effective)
