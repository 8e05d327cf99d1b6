"""Weights drawn again from seed and provenance equal those that a long row of events left, bit for bit."""

import pytest
import torch
from torch import nn

from recycle_pipeline.models.draws import INITS
from recycle_pipeline.models.masked_network import MaskedNetwork
from recycle_pipeline.models.recipe import Recipe
from recycle_pipeline.models.reuse import Provenance

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]


def masked_network(device, **changes):
    network = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Flatten(), nn.Linear(64, 10)).to(device)
    recipe = Recipe(seed=7, kind="binary", prune=0.8, init="kaiming_normal", scale_fan="keep", scope="layer")
    return MaskedNetwork(network, Recipe(**{**recipe.__dict__, **changes}))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", ["binary", "continuous"])
@pytest.mark.parametrize("init", INITS)
def test_weights_after_many_events_are_drawn_again_exactly(device, kind, init):
    masked = masked_network(device, kind=kind, init=init)
    torch.manual_seed(0)
    for number in range(1, 61):
        with torch.no_grad():
            for scores in masked.scores:
                scores.add_(0.1 * torch.randn(scores.shape).to(device))
        masked.refresh()
        (masked.rerandomize, masked.hybrid)[number % 2](0.2, number)
        masked.recycle(0.1, "next-lowest" if number % 3 else "top")
    masked.refresh()

    other = masked_network(device, kind=kind, init=init)
    with torch.no_grad():
        for mine, theirs in zip(other.scores, masked.scores, strict=True):
            mine.copy_(theirs)
    other.restore({layer.name: layer.provenance for layer in masked.layers}, masked.events)
    other.refresh()
    assert other.events == 120
    for mine, theirs in zip(other.layers, masked.layers, strict=True):
        assert len(theirs.provenance.draw.unique()) > 30
        for name, buffer in theirs.weight.named_buffers():
            assert torch.equal(getattr(mine.weight, name), buffer), name


def test_layers_without_provenance_keep_their_first_draw():
    masked, other = masked_network("cpu"), masked_network("cpu")
    masked.restore({}, 3)
    assert masked.events == 3
    for mine, theirs in zip(masked.layers, other.layers, strict=True):
        assert mine.provenance is None and torch.equal(mine.weight.weight, theirs.weight.weight)
    first = Provenance.initial(masked.layers[0].scores.numel(), torch.device("cpu"))
    masked.restore({masked.layers[0].name: first}, 4)
    assert torch.equal(masked.layers[0].weight.weight, other.layers[0].weight.weight)
