"""Conv2, Conv4, Conv6, Conv8: the small VGG-like networks of the subnetwork literature.

3x3 convolutions with padding 1 and ReLU, a 2x2 max-pool after each pair, then linear layers to
256, 256 and the classes. No batch norm, no biases (Frankle and Carbin 2019; Ramanujan et al. 2020,
whose linear layers are 1x1 convolutions: the same weights and fan-in).
Weights at 3 x 32 x 32 and 10 classes: 4,300,992; 2,425,024; 2,261,184; 5,275,840.

The width scales channels and the two 256s. With binary activations a batch norm stands before each of
them, behind the max-pool where there is one, and none after the last layer (Diffenderfer and Kailkhura
2021, MPT-1/1).
"""

from collections import OrderedDict

from torch import nn

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.models.layers import activation, batch_norm, batch_norm_1d
from recycle_pipeline.models.options import DEFAULT_OPTIONS, ArchOptions

WIDTHS = (64, 64, 128, 128, 256, 256, 512, 512)
HIDDEN = 256


def conv_net(depth: int, classes: int, channels: int, image_size: int, options: ArchOptions) -> nn.Module:
    """Conv-`depth`, depth in 2, 4, 6, 8; (N, channels, S, S) -> (N, classes).

    Raises:
        UsageFault: the image is too small for the max-pools, or the width for a layer.
    """
    side = side_after_pools(f"conv{depth}", depth // 2, image_size)
    layers: dict[str, nn.Module] = {}
    inputs = channels
    for index, width in enumerate(WIDTHS[:depth], start=1):
        outputs = options.scaled(width)
        layers[f"conv{index}"] = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        pool = {f"pool{index // 2}": nn.MaxPool2d(2)} if index % 2 == 0 else {}
        if options.binary:
            layers |= pool | {f"bn{index}": batch_norm(outputs, options), f"sign{index}": activation(options)}
        else:
            layers |= {f"relu{index}": activation(options)} | pool
        inputs = outputs
    layers["flatten"] = nn.Flatten()
    inputs *= side * side
    for name in ("linear1", "linear2"):
        outputs = options.scaled(HIDDEN)
        layers[name] = nn.Linear(inputs, outputs, bias=False)
        if options.binary:
            layers[f"{name}_bn"] = batch_norm_1d(outputs, options)
        layers[f"{name}_{'sign' if options.binary else 'relu'}"] = activation(options)
        inputs = outputs
    layers["linear3"] = nn.Linear(inputs, classes, bias=False)
    return nn.Sequential(OrderedDict(layers))


def side_after_pools(arch: str, pools: int, image_size: int) -> int:
    """The side of an image after `pools` halvings, in pixels.

    Raises:
        UsageFault: nothing is left.
    """
    side = image_size >> pools
    if side == 0:
        raise UsageFault(
            f"{arch} halves the image {pools} times and needs at least {1 << pools} px, "
            f"got {image_size} px; use a shallower network (conv2 needs 2 px)"
        )
    return side


def conv2(classes: int, channels: int, image_size: int, options: ArchOptions = DEFAULT_OPTIONS) -> nn.Module:
    """Conv2: 5 masked layers."""
    return conv_net(2, classes, channels, image_size, options)


def conv4(classes: int, channels: int, image_size: int, options: ArchOptions = DEFAULT_OPTIONS) -> nn.Module:
    """Conv4: 7 masked layers."""
    return conv_net(4, classes, channels, image_size, options)


def conv6(classes: int, channels: int, image_size: int, options: ArchOptions = DEFAULT_OPTIONS) -> nn.Module:
    """Conv6: 9 masked layers."""
    return conv_net(6, classes, channels, image_size, options)


def conv8(classes: int, channels: int, image_size: int, options: ArchOptions = DEFAULT_OPTIONS) -> nn.Module:
    """Conv8: 11 masked layers."""
    return conv_net(8, classes, channels, image_size, options)
