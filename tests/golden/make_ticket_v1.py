"""Wrote the golden tickets of format version 1; kept to show how, NOT to be run again.

The files beside this script were written by the first release that wrote version 1. Every later
release must read them: a test that fails on them has found a broken reader or a changed draw, and
is never mended by writing them anew. A later format version gets its own files and its own script.

Run, once:  PYTHONPATH=.dev python tests/golden/make_ticket_v1.py
"""

import json
from collections import OrderedDict
from pathlib import Path

import torch
from torch import nn

from recycle_pipeline.exporters.ticket.writer import write_ticket
from recycle_pipeline.models.masked_network import MaskedNetwork
from recycle_pipeline.models.recipe import Recipe
from recycle_pipeline.models.registry import build
from recycle_pipeline.models.subnetwork import Subnetwork, array_digest

HERE = Path(__file__).parent


def tiny(classes: int, channels: int, image_size: int) -> nn.Module:
    """Convolutions, a batch norm with affine parameters, and a classifier with a bias."""
    layers = OrderedDict[str, nn.Module](
        conv1=nn.Conv2d(channels, 16, 3, padding=1),
        bn1=nn.BatchNorm2d(16),
        relu1=nn.ReLU(),
        conv2=nn.Conv2d(16, 24, 3, stride=2, padding=1, bias=False),
        relu2=nn.ReLU(),
        flatten=nn.Flatten(),
        head=nn.Linear(24 * (image_size // 2) ** 2, classes),
    )
    return nn.Sequential(layers)


def shuffle(masked: MaskedNetwork, generator: torch.Generator) -> None:
    """Gives every score a new value, so that what an event wrote is partly kept, and forms the masks."""
    with torch.no_grad():
        for scores in masked.scores:
            scores.copy_(torch.rand(scores.shape, generator=generator))
    masked.refresh()


def binary_recycled() -> Subnetwork:
    """conv2 for 8-px digits, Biprop, two recycling events, per layer."""
    network = build("conv2", classes=10, channels=1, image_size=8)
    recipe = Recipe(20_261_122, "binary", 0.9, "signed_constant", "keep", "layer")
    masked, generator = MaskedNetwork(network, recipe), torch.Generator().manual_seed(1)
    for _ in range(2):
        masked.recycle(0.3)
        shuffle(masked, generator)
    classes = tuple("0123456789")
    head = ("conv2", classes, 1, 8, (0.30614674,), (0.3780078,), recipe.seed, "binary", 0.9, "layer")
    return Subnetwork(*head, tensors=masked.tensors(), state=masked.state())


def continuous_rerandomized() -> Subnetwork:
    """The tiny network, edge-popup, kaiming_normal, three rerandomizing events, over all layers."""
    torch.manual_seed(2)
    network = tiny(classes=3, channels=3, image_size=8)
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    network(torch.randn(64, 3, 8, 8))  # running statistics
    recipe = Recipe(2**63 - 1, "continuous", 0.7, "kaiming_normal", "published", "global")
    masked, generator = MaskedNetwork(network, recipe), torch.Generator().manual_seed(3)
    for number in (1, 2, 300):
        masked.rerandomize(0.4, number)
        shuffle(masked, generator)
    mean, std = (0.49139968, 0.48215841, 0.44653091), (0.24703223, 0.24348513, 0.26158784)
    head = (
        "make_ticket_v1:tiny",
        ("Größe", "naïve", "猫"),
        3,
        8,
        mean,
        std,
        recipe.seed,
        "continuous",
        0.7,
        "global",
    )
    return Subnetwork(*head, tensors=masked.tensors(), state=masked.state())


def facts(subnetwork: Subnetwork, network: nn.Module) -> dict[str, object]:
    """What a reader must find, in JSON: digests of all arrays, and a few values for people."""
    arrays = subnetwork.arrays()
    size = subnetwork.image_size
    image = torch.linspace(-1, 1, subnetwork.channels * size * size).reshape(
        1, subnetwork.channels, size, size
    )
    with torch.inference_mode():
        logits = network(image)[0].tolist()
    return {
        "arch": subnetwork.arch,
        "classes": subnetwork.classes,
        "seed": subnetwork.seed,
        "kind": subnetwork.kind,
        "scope": subnetwork.scope,
        "prune": subnetwork.prune,
        "mean": subnetwork.mean,
        "std": subnetwork.std,
        "kept": {tensor.name: tensor.kept for tensor in subnetwork.tensors},
        "moved": {tensor.name: tensor.moved for tensor in subnetwork.tensors},
        "digests": {name: array_digest(array) for name, array in arrays.items()},
        "last_weights": {
            name: [float(value) for value in array[array != 0][-4:]]
            for name, array in subnetwork.weights().items()
        },
        "logits_of_a_ramp": logits,
    }


def main() -> None:
    from recycle_pipeline.models.assemble import assemble

    made = {"binary-recycled": binary_recycled(), "continuous-rerandomized": continuous_rerandomized()}
    for name, subnetwork in made.items():
        path = HERE / f"ticket-v1-{name}.safetensors"
        if path.exists():
            raise SystemExit(f"{path} exists: golden files are never written again")
        write_ticket(subnetwork, path)
        network = assemble(subnetwork, import_custom=True)
        text = json.dumps(facts(subnetwork, network), indent=1, ensure_ascii=False)
        path.with_suffix(".json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
