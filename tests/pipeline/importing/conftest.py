"""State dicts as other programs write them."""

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from recycle_pipeline.models.conv_nets import conv2


def constants(network, magnitude=0.125):
    """Signs of the network's weights times a magnitude of each layer's own, exact in half floats."""
    with torch.no_grad():
        for number, layer in enumerate(m for m in network if isinstance(m, nn.Conv2d | nn.Linear)):
            layer.weight.copy_(layer.weight.sign() * (magnitude * (number + 1)))
    return network


@pytest.fixture
def small():
    """conv2 at a sixteenth of its width, for 1 x 8 x 8 and 10 classes, with signed constants."""
    from recycle_pipeline.models.options import ArchOptions

    torch.manual_seed(3)
    return constants(conv2(classes=10, channels=1, image_size=8, options=ArchOptions(width=0.0625)))


@pytest.fixture
def masked(small):
    """The same, pruned to a half by torch.nn.utils.prune; its state dict has weight_orig and weight_mask."""
    for layer in (m for m in small if isinstance(m, nn.Conv2d | nn.Linear)):
        prune.random_unstructured(layer, "weight", 0.5)
    return small
