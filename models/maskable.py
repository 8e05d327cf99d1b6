"""Which layers of a network are masked: every convolution and linear layer, first and last included."""

import torch
from torch import nn
from torch.nn.utils import parametrize

from recycle_pipeline.models.errors import UsageFault

MASKABLE = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
# What numpy and safetensors both have.
STORED_DTYPES = (
    torch.float32,
    torch.float64,
    torch.float16,
    torch.int64,
    torch.int32,
    torch.uint8,
    torch.bool,
)
Maskable = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear


def maskable_layers(network: nn.Module) -> dict[str, Maskable]:
    """The layers to mask by module name, in the network's order.

    Raises:
        UsageFault: there are none, or two layers share one weight.
    """
    layers = {name: m for name, m in network.named_modules(remove_duplicate=False) if isinstance(m, MASKABLE)}
    for name, layer in layers.items():
        if name == "":
            raise UsageFault(
                f"the network is a bare {type(layer).__name__}; put it into a module or nn.Sequential"
            )
        if parametrize.is_parametrized(layer, "weight") or not isinstance(layer.weight, nn.Parameter):
            raise UsageFault(
                f"the weight of layer {name} is computed from others (a parametrization); use a plain one"
            )
        if layer.weight.dtype != torch.float32:
            raise UsageFault(f"layer {name} has {layer.weight.dtype} weights; expected float32")
    if not layers:
        raise UsageFault(
            f"{type(network).__name__} has no layer to mask: expected at least one convolution or nn.Linear"
        )
    if len({id(layer.weight) for layer in layers.values()}) != len(layers):
        raise UsageFault(
            f"two layers of {type(network).__name__} share one weight; shared weights cannot be masked"
        )
    return layers


@torch.no_grad()
def check_network(network: nn.Module, classes: int, channels: int, image_size: int) -> None:
    """Checks that a plain network can be masked and maps images to logits.

    Raises:
        UsageFault: nothing to mask; or it fails on, or misshapes, a batch of two blank images.
    """
    maskable_layers(network)
    for name, value in network.state_dict().items():
        if value.dtype not in STORED_DTYPES:
            raise UsageFault(
                f"{name} is of {value.dtype}, which a ticket cannot hold; expected float32 or an integer"
            )
    was_training = network.training
    network.eval()
    try:
        shape = tuple(network(torch.zeros(2, channels, image_size, image_size)).shape)
    except Exception as error:  # the user's own forward may raise anything
        raise UsageFault(
            f"{type(network).__name__} fails on images of shape (2, {channels}, {image_size}, {image_size}): "
            f"{type(error).__name__}: {error}"
        ) from error
    finally:
        network.train(was_training)
    if shape != (2, classes):
        raise UsageFault(
            f"{type(network).__name__} maps 2 images to shape {shape}; "
            f"expected (2, {classes}), a logit per class"
        )
