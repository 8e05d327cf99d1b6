"""What the search hands over rebuilds its effective weights bit for bit, from the seed."""

import numpy as np
import pytest
import torch

from recycle_pipeline.models.assemble import assemble
from recycle_pipeline.models.draws import INITS
from recycle_pipeline.models.masked_network import MaskedNetwork
from recycle_pipeline.models.options import DEFAULT_OPTIONS, ArchOptions
from recycle_pipeline.models.recipe import Recipe
from recycle_pipeline.models.registry import build
from recycle_pipeline.models.subnetwork import Subnetwork, array_digest

SEED = 11
REUSE = {
    "no reuse": (),
    "recycle twice": ("recycle", "recycle"),
    "rerandomize twice": ("rerandomize", "rerandomize"),
    "both": ("recycle", "rerandomize", "recycle", "rerandomize"),
    "hybrid twice": ("hybrid", "hybrid"),
}


def searched(
    arch, image_size, channels, kind, init, events, scope="layer", device="cpu", options=DEFAULT_OPTIONS
):
    """A network after reuse events, its scores moved before each and after the last."""
    network = build(arch, classes=10, channels=channels, image_size=image_size, options=options).to(device)
    masked = MaskedNetwork(network, Recipe(SEED, kind, 0.6, init, "keep", scope))
    for number, event in enumerate((*events, None), start=1):
        generator = torch.Generator().manual_seed(number)
        with torch.no_grad():
            for scores in masked.scores:
                noise = torch.randn(scores.shape, generator=generator).to(device)
                scores.add_(noise, alpha=float(scores.abs().max()) / 2)
        masked.refresh()
        if event == "recycle":
            assert masked.recycle(0.2).changed
        elif event == "rerandomize":
            assert masked.rerandomize(0.3, number).changed
        elif event == "hybrid":
            assert masked.hybrid(0.4, number).changed
    return masked


@pytest.mark.parametrize("kind", ["binary", "continuous"])
@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("events", REUSE.values(), ids=REUSE)
def test_masks_and_provenance_rebuild_the_effective_weights(kind, init, events, device):
    masked = searched("conv2", 8, 1, kind, init, events, device=device)
    effective = masked.effective()
    for tensor in masked.tensors():
        expected = effective[f"{tensor.name}.weight"].cpu().numpy()
        assert array_digest(tensor.weights(SEED)) == array_digest(expected), tensor.name
        assert (tensor.gain is not None) == (kind == "binary")
        assert (tensor.moved > 0) == bool(events)
        if not events:
            assert tensor.flips is tensor.draws is tensor.sources is None
        elif tensor.sign_only:
            assert tensor.flips.shape == (tensor.kept,) and tensor.draws is tensor.sources is None
        else:
            assert (tensor.draws.dtype, tensor.sources.dtype) == (np.int16, np.int32)
            assert tensor.draws.shape == tensor.sources.shape == (tensor.kept,) and tensor.flips is None


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_an_assembled_network_gives_the_logits_of_the_searched_one(kind):
    """Exactly: the weights are the same bits, and so is the arithmetic on one device."""
    quarter = ArchOptions(width=0.25)
    masked = searched(
        "resnet18", 8, 3, kind, "kaiming_uniform", ("recycle",), scope="global", options=quarter
    )
    images = torch.randn((6, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        masked.network.train()(images)  # the batch norms see data
        logits = masked.network.eval()(images)
    subnetwork = Subnetwork(
        arch="resnet18",
        classes=tuple("0123456789"),
        channels=3,
        image_size=8,
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        seed=SEED,
        kind=kind,
        prune=0.6,
        scope="global",
        tensors=masked.tensors(),
        state=masked.state(),
        options=quarter,
    )
    assert torch.equal(assemble(subnetwork)(images), logits)
    assert logits.std() > 0
