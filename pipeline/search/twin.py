"""A twin of a masked network: the plain network, computing with weights that lie elsewhere."""

from collections.abc import Sequence

from torch import Tensor, nn

from recycle_pipeline.models.maskable import maskable_layers


def twin_of(
    plain: nn.Module, masked: nn.Module, weights: Sequence[Tensor]
) -> tuple[nn.Module, list[nn.Parameter]]:
    """`plain` with these tensors as its maskable layers' weights, all else shared with `masked`.

    Args:
        plain: a copy of the network as it was before it was masked; changed in place.
        masked: the masked network, whose other parameters and buffers are taken.
        weights: of the layers' shapes, in the network's order.

    Returns:
        The twin, and its weights as parameters over the memory of `weights`.
    """
    layers = maskable_layers(plain)
    parameters = [nn.Parameter(weight) for weight in weights]
    for layer, parameter in zip(layers.values(), parameters, strict=True):
        layer.weight = parameter
    theirs = dict(masked.named_modules())
    for name, module in plain.named_modules():
        other = theirs[name]
        for key, parameter in module._parameters.items():
            if not any(parameter is own for own in parameters):
                module._parameters[key] = other._parameters[key]
        for key in module._buffers:
            module._buffers[key] = other._buffers[key]
    return plain, parameters
