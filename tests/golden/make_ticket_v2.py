"""Wrote the golden ticket of format version 2; kept to show how, NOT to be run again.

See make_ticket_v1.py. Version 2 holds options of the architecture.

Run, once:  PYTHONPATH=.dev:tests/golden python tests/golden/make_ticket_v2.py
"""

import json

import torch
from make_ticket_v1 import HERE, facts, shuffle

from recycle_pipeline.exporters.ticket.writer import write_ticket
from recycle_pipeline.models.assemble import assemble
from recycle_pipeline.models.masked_network import MaskedNetwork
from recycle_pipeline.models.options import ArchOptions
from recycle_pipeline.models.recipe import Recipe
from recycle_pipeline.models.registry import build
from recycle_pipeline.models.subnetwork import Subnetwork


def signs_learned() -> Subnetwork:
    """conv2 of width 0.25 for 8-px digits, signs, learned batch norm, one recycling event."""
    options = ArchOptions(0.25, "binary", "learned")
    network = build("conv2", classes=10, channels=1, image_size=8, options=options)
    recipe = Recipe(7, "binary", 0.8, "kaiming_normal", "keep", "layer", batch_norm="learned")
    masked, generator = MaskedNetwork(network, recipe), torch.Generator().manual_seed(4)
    masked.recycle(0.3)
    shuffle(masked, generator)
    with torch.no_grad():
        for parameter in masked.others:
            parameter.add_(torch.randn(parameter.shape, generator=generator) / 4)
        network.train()(torch.randn(64, 1, 8, 8, generator=generator))  # running statistics
    classes = tuple("0123456789")
    head = ("conv2", classes, 1, 8, (0.30614674,), (0.3780078,), recipe.seed, "binary", 0.8, "layer")
    return Subnetwork(*head, tensors=masked.tensors(), state=masked.state(), options=options)


def main() -> None:
    subnetwork, path = signs_learned(), HERE / "ticket-v2-signs-learned.safetensors"
    if path.exists():
        raise SystemExit(f"{path} exists: golden files are never written again")
    write_ticket(subnetwork, path)
    said = facts(subnetwork, assemble(subnetwork)) | {"options": subnetwork.options.changed()}
    text = json.dumps(said, indent=1, ensure_ascii=False)
    path.with_suffix(".json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
