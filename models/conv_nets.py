"""Conv2, Conv4, Conv6, Conv8: the small VGG-like networks of the subnetwork literature.

3x3 convolutions with padding 1 and ReLU, a 2x2 max-pool after each pair, then linear layers to
256, 256 and the classes. No batch norm, no biases (Frankle and Carbin 2019; Ramanujan et al. 2020,
whose linear layers are 1x1 convolutions: the same weights and fan-in).
Weights at 3 x 32 x 32 and 10 classes: 4,300,992; 2,425,024; 2,261,184; 5,275,840.
"""

from collections import OrderedDict

from torch import nn

from recycle_pipeline.models.errors import UsageFault

WIDTHS = (64, 64, 128, 128, 256, 256, 512, 512)
HIDDEN = 256


def conv_net(depth: int, classes: int, channels: int, image_size: int) -> nn.Module:
    """Conv-`depth`, depth in 2, 4, 6, 8; (N, channels, S, S) -> (N, classes).

    Raises:
        UsageFault: the image is too small for the max-pools.
    """
    pools = depth // 2
    side = image_size >> pools
    if side == 0:
        raise UsageFault(
            f"conv{depth} halves the image {pools} times and needs at least {1 << pools} px, "
            f"got {image_size} px; use a shallower network (conv2 needs 2 px)"
        )
    layers: dict[str, nn.Module] = {}
    inputs = channels
    for index, outputs in enumerate(WIDTHS[:depth], start=1):
        layers[f"conv{index}"] = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        layers[f"relu{index}"] = nn.ReLU()
        if index % 2 == 0:
            layers[f"pool{index // 2}"] = nn.MaxPool2d(2)
        inputs = outputs
    layers["flatten"] = nn.Flatten()
    layers["linear1"] = nn.Linear(inputs * side * side, HIDDEN, bias=False)
    layers["linear1_relu"] = nn.ReLU()
    layers["linear2"] = nn.Linear(HIDDEN, HIDDEN, bias=False)
    layers["linear2_relu"] = nn.ReLU()
    layers["linear3"] = nn.Linear(HIDDEN, classes, bias=False)
    return nn.Sequential(OrderedDict(layers))


def conv2(classes: int, channels: int, image_size: int) -> nn.Module:
    """Conv2: 5 masked layers."""
    return conv_net(2, classes, channels, image_size)


def conv4(classes: int, channels: int, image_size: int) -> nn.Module:
    """Conv4: 7 masked layers."""
    return conv_net(4, classes, channels, image_size)


def conv6(classes: int, channels: int, image_size: int) -> nn.Module:
    """Conv6: 9 masked layers."""
    return conv_net(6, classes, channels, image_size)


def conv8(classes: int, channels: int, image_size: int) -> nn.Module:
    """Conv8: 11 masked layers."""
    return conv_net(8, classes, channels, image_size)
