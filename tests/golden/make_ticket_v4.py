"""Wrote the golden tickets of format version 4; kept to show how, NOT to be run again.

See make_ticket_v1.py. Version 4 codes bits by neighbours in their kernels, too, so scores of a kernel move
together here.

Run, once:  PYTHONPATH=.dev:tests/golden python tests/golden/make_ticket_v4.py
"""

import json
from dataclasses import replace

import numpy as np
import torch
from make_ticket_v1 import HERE, facts, tiny
from torch import nn

from recycle_pipeline.exporters.ticket.writer import write_ticket
from recycle_pipeline.models.assemble import assemble
from recycle_pipeline.models.draws import signs_at, stream_key
from recycle_pipeline.models.masked_network import MaskedNetwork
from recycle_pipeline.models.options import DEFAULT_OPTIONS, ArchOptions
from recycle_pipeline.models.recipe import Recipe
from recycle_pipeline.models.registry import build
from recycle_pipeline.models.subnetwork import MaskedTensor, Subnetwork

CLASSES = tuple("0123456789")
MEAN, STD = (0.49139968, 0.48215841, 0.44653091), (0.24703223, 0.24348513, 0.26158784)


def train(masked: MaskedNetwork, generator: torch.Generator) -> None:
    """Moves every score as a search would: by its weight, more in some filters and channels."""
    with torch.no_grad():
        for layer in masked._layers:
            scores, weight = layer.scores, layer.weight.weight
            moves = torch.rand(scores.shape, generator=generator) - 0.5
            kernels = [*scores.shape[:2], *[1] * (scores.dim() - 2)]
            moves = moves + 4 * (torch.rand(kernels, generator=generator) - 0.5)
            for side in (0, 1):
                shape = [n if axis == side else 1 for axis, n in enumerate(scores.shape)]
                moves = moves * torch.exp(torch.randn(shape, generator=generator) / 2)
            step = scores.abs().mean() / weight.abs().mean()
            scores.add_(moves * weight * step * 2)
    masked.refresh()


def moved_statistics(masked: MaskedNetwork, network: nn.Module, generator: torch.Generator) -> None:
    with torch.no_grad():
        for parameter in masked.others:
            parameter.add_(torch.randn(parameter.shape, generator=generator) / 4)
        network.train()(torch.randn(64, 1, 8, 8, generator=generator))


def global_recycled() -> Subnetwork:
    """conv2 of width 0.5 for 8-px digits, Biprop over all layers, recycled thrice, kernels of one sign."""
    options = ArchOptions(0.5)
    network = build("conv2", classes=10, channels=1, image_size=8, options=options)
    recipe = Recipe(20_261_128, "binary", 0.9, "kaiming_normal", "keep", "global")
    masked, generator = MaskedNetwork(network, recipe), torch.Generator().manual_seed(5)
    for _ in range(3):
        masked.recycle(0.3)
        train(masked, generator)
    head = ("conv2", CLASSES, 1, 8, (0.30614674,), (0.3780078,), recipe.seed, "binary", 0.9, "global")
    said = {"reuse": "recycle", "epochs": 3, "learning_rate": 0.1}
    tensors = tuple(map(of_one_sign, masked.tensors()))
    return Subnetwork(*head, tensors, masked.state(), said, options)


def of_one_sign(tensor: MaskedTensor) -> MaskedTensor:
    """In most kernels all weights have one sign."""
    rng, kept = np.random.default_rng(12), np.flatnonzero(tensor.mask)
    positions = tensor.size // int(np.prod(tensor.mask.shape[:2]))
    wanted = rng.random(tensor.size // positions) < 0.5
    negative = signs_at(stream_key(20_261_128, tensor.name), kept)
    flips = (negative != wanted[kept // positions]) & (rng.random(len(kept)) < 0.9)
    return replace(tensor, flips=flips)


def continuous_hybrid() -> Subnetwork:
    """The tiny network, IteRand's signed scores, redraws and copies: more than 256 draw numbers."""
    torch.manual_seed(6)
    network = tiny(classes=3, channels=3, image_size=8)
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    network(torch.randn(64, 3, 8, 8))  # running statistics
    recipe = Recipe(2**62 + 4, "continuous", 0.5, "kaiming_uniform", "keep", "layer", scores="signed")
    masked, generator = MaskedNetwork(network, recipe), torch.Generator().manual_seed(7)
    for number in range(1, 501):
        masked.hybrid(0.2, number)
        if number % 8 == 0:
            train(masked, generator)
    head = ("make_ticket_v1:tiny", ("Größe", "naïve", "猫"), 3, 8, MEAN, STD, recipe.seed, "continuous", 0.5)
    return Subnetwork(*head, "layer", masked.tensors(), masked.state(), {}, DEFAULT_OPTIONS)


def signs_learned() -> Subnetwork:
    """conv2 of width 0.25 for 8-px digits, binary activations, learned batch norm, 98 % removed."""
    options = ArchOptions(0.25, "binary", "learned")
    network = build("conv2", classes=10, channels=1, image_size=8, options=options)
    recipe = Recipe(84, "binary", 0.98, "signed_constant", "keep", "layer", batch_norm="learned")
    masked, generator = MaskedNetwork(network, recipe), torch.Generator().manual_seed(9)
    masked.recycle(0.3)
    train(masked, generator)
    moved_statistics(masked, network, generator)
    with torch.no_grad():  # as of batch norms whose outputs are added: stored as one repeating the other
        network.bn2.bias.copy_(network.bn1.bias)
        network.linear2_bn.bias.copy_(network.linear1_bn.bias)
    head = ("conv2", CLASSES, 1, 8, (0.30614674,), (0.3780078,), recipe.seed, "binary", 0.98, "layer")
    return Subnetwork(*head, masked.tensors(), masked.state(), {}, options)


def plain() -> Subnetwork:
    """conv2 of width 0.25, nothing reused, and a mask that nothing foretells."""
    options = ArchOptions(0.25)
    network = build("conv2", classes=10, channels=1, image_size=8, options=options)
    recipe = Recipe(4, "continuous", 0.8, "kaiming_normal", "keep", "layer")
    masked, generator = MaskedNetwork(network, recipe), torch.Generator().manual_seed(10)
    with torch.no_grad():
        for scores in masked.scores:
            scores.copy_(torch.rand(scores.shape, generator=generator))
    masked.refresh()
    head = ("conv2", CLASSES, 1, 8, (0.30614674,), (0.3780078,), recipe.seed, "continuous", 0.8, "layer")
    return Subnetwork(*head, masked.tensors(), masked.state(), {}, options)


MADE = {
    "global-recycled": global_recycled,
    "continuous-hybrid": continuous_hybrid,
    "signs-learned": signs_learned,
    "plain": plain,
}


def main() -> None:
    for name, make in MADE.items():
        subnetwork, path = make(), HERE / f"ticket-v4-{name}.safetensors"
        if path.exists():
            raise SystemExit(f"{path} exists: golden files are never written again")
        write_ticket(subnetwork, path)
        said = facts(subnetwork, assemble(subnetwork, import_custom=True))
        said |= {"options": subnetwork.options.changed()}
        text = json.dumps(said, indent=1, ensure_ascii=False)
        path.with_suffix(".json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
