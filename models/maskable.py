"""Which layers of a network are masked: every convolution and linear layer, first and last included."""

from torch import nn

from recycle_pipeline.models.errors import UsageFault

MASKABLE = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
Maskable = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear


def maskable_layers(network: nn.Module) -> dict[str, Maskable]:
    """The layers to mask by module name, in the network's order.

    Raises:
        UsageFault: there are none, or two layers share one weight.
    """
    layers = {name: m for name, m in network.named_modules() if isinstance(m, MASKABLE)}
    if not layers:
        raise UsageFault(
            f"{type(network).__name__} has no layer to mask: expected at least one convolution or nn.Linear"
        )
    if len({id(layer.weight) for layer in layers.values()}) != len(layers):
        raise UsageFault(f"two layers of {type(network).__name__} share one weight; shared weights cannot be masked")
    return layers
