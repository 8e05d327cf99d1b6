"""Residual networks (He et al. 2016), post-activation, batch norm without affine parameters.

For images up to 64 px the CIFAR variant of the subnetwork literature: 3x3 stem of stride 1 and no
max-pool, stages of 64-128-256-512 channels, 1x1 projection where the shape changes, global average
pool. Above 64 px the original 7x7 stem of stride 2 with max-pool. No biases anywhere.
ResNet-20 to -110 have three stages of 16-32-64 channels, and projections too (Biprop's variant; the
original pads with zeros). A bottleneck's stride is on its 3x3 convolution.

Weights at 3 channels and 10 classes, 3x3 stem: ResNet-18 11,164,352, ResNet-34 21,265,088,
ResNet-50 23,467,712, ResNet-20 270,896.

The width scales stages and not the stem, as IteRand's listed counts need (ResNet-18: 708,288 at 0.25,
2,804,928 at 0.5, 44,576,448 at 2). Binary activations stand where ReLU does, after the addition too,
so that what flows from block to block is binary; in the 7x7 stem they follow the max-pool.
"""

from collections import OrderedDict

from torch import Tensor, nn

from recycle_pipeline.models.layers import activation, batch_norm
from recycle_pipeline.models.options import DEFAULT_OPTIONS, ArchOptions

SMALL_IMAGE = 64  # px; up to here the 3x3 stem
WIDE = (64, 128, 256, 512)
NARROW = (16, 32, 64)


def _shortcut(inputs: int, outputs: int, stride: int, options: ArchOptions) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    projection = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
    return nn.Sequential(OrderedDict(conv=projection, bn=batch_norm(outputs, options)))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; (N, inputs, H, W) -> (N, outputs, H/stride, W/stride)."""

    expansion = 1

    def __init__(
        self, inputs: int, outputs: int, stride: int, options: ArchOptions = DEFAULT_OPTIONS
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = batch_norm(outputs, options)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, padding=1, bias=False)
        self.bn2 = batch_norm(outputs, options)
        self.activation = activation(options)
        self.shortcut = _shortcut(inputs, outputs, stride, options)

    def forward(self, x: Tensor) -> Tensor:
        out = self.activation(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        merged: Tensor = self.activation(out + self.shortcut(x))
        return merged


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 and a shortcut; (N, inputs, H, W) -> (N, 4 * inner, H/stride, W/stride)."""

    expansion = 4

    def __init__(self, inputs: int, inner: int, stride: int, options: ArchOptions = DEFAULT_OPTIONS) -> None:
        super().__init__()
        outputs = inner * self.expansion
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = batch_norm(inner, options)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, bias=False)
        self.bn2 = batch_norm(inner, options)
        self.conv3 = nn.Conv2d(inner, outputs, 1, bias=False)
        self.bn3 = batch_norm(outputs, options)
        self.activation = activation(options)
        self.shortcut = _shortcut(inputs, outputs, stride, options)

    def forward(self, x: Tensor) -> Tensor:
        out = self.activation(self.bn1(self.conv1(x)))
        out = self.activation(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        merged: Tensor = self.activation(out + self.shortcut(x))
        return merged


class ResNet(nn.Module):
    """Stem, stages `layer1` and up, pool, classifier; (N, channels, S, S) -> (N, classes).

    Args:
        block: of which the stages are made.
        blocks: number of blocks of each stage.
        widths: of each stage, before `options.width`; the stem has the first, whatever the width.
        classes, channels, image_size: of the data.
        options: see `ArchOptions`.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        blocks: tuple[int, ...],
        widths: tuple[int, ...],
        classes: int,
        channels: int,
        image_size: int,
        options: ArchOptions,
    ) -> None:
        super().__init__()
        inputs = widths[0]
        self.stem = _stem(channels, inputs, image_size, options)
        self.stages: list[str] = []
        for index, (count, width) in enumerate(zip(blocks, widths, strict=True), start=1):
            stage = nn.Sequential()
            for stride in [1 if index == 1 else 2] + [1] * (count - 1):
                stage.append(block(inputs, options.scaled(width), stride, options))
                inputs = options.scaled(width) * block.expansion
            self.stages.append(f"layer{index}")
            self.add_module(f"layer{index}", stage)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(inputs, classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (N, 64, S, S), or S/4 with the 7x7 stem
        for stage in self.stages:
            x = getattr(self, stage)(x)  # at last (N, 512, S/8, S/8)
        logits: Tensor = self.classifier(self.pool(x).flatten(1))
        return logits


def _stem(channels: int, outputs: int, image_size: int, options: ArchOptions) -> nn.Sequential:
    small = image_size <= SMALL_IMAGE
    kernel, stride, padding = (3, 1, 1) if small else (7, 2, 3)
    layers: dict[str, nn.Module] = {
        "conv": nn.Conv2d(channels, outputs, kernel, stride, padding, bias=False),
        "bn": batch_norm(outputs, options),
    }
    if not small and options.binary:
        layers["pool"] = nn.MaxPool2d(3, 2, padding=1)
    layers["activation"] = activation(options)
    if not small and not options.binary:
        layers["pool"] = nn.MaxPool2d(3, 2, padding=1)
    return nn.Sequential(OrderedDict(layers))


def resnet18(
    classes: int, channels: int, image_size: int, options: ArchOptions = DEFAULT_OPTIONS
) -> nn.Module:
    """ResNet-18: blocks 2-2-2-2, 21 masked layers."""
    return ResNet(BasicBlock, (2, 2, 2, 2), WIDE, classes, channels, image_size, options)


def resnet34(
    classes: int, channels: int, image_size: int, options: ArchOptions = DEFAULT_OPTIONS
) -> nn.Module:
    """ResNet-34: blocks 3-4-6-3, 37 masked layers."""
    return ResNet(BasicBlock, (3, 4, 6, 3), WIDE, classes, channels, image_size, options)


def resnet50(
    classes: int, channels: int, image_size: int, options: ArchOptions = DEFAULT_OPTIONS
) -> nn.Module:
    """ResNet-50: bottlenecks 3-4-6-3, 54 masked layers."""
    return ResNet(Bottleneck, (3, 4, 6, 3), WIDE, classes, channels, image_size, options)


def resnet20(
    classes: int, channels: int, image_size: int, options: ArchOptions = DEFAULT_OPTIONS
) -> nn.Module:
    """ResNet-20: blocks 3-3-3, 22 masked layers."""
    return ResNet(BasicBlock, (3, 3, 3), NARROW, classes, channels, image_size, options)


def resnet32(
    classes: int, channels: int, image_size: int, options: ArchOptions = DEFAULT_OPTIONS
) -> nn.Module:
    """ResNet-32: blocks 5-5-5, 34 masked layers."""
    return ResNet(BasicBlock, (5, 5, 5), NARROW, classes, channels, image_size, options)


def resnet44(
    classes: int, channels: int, image_size: int, options: ArchOptions = DEFAULT_OPTIONS
) -> nn.Module:
    """ResNet-44: blocks 7-7-7, 46 masked layers."""
    return ResNet(BasicBlock, (7, 7, 7), NARROW, classes, channels, image_size, options)


def resnet56(
    classes: int, channels: int, image_size: int, options: ArchOptions = DEFAULT_OPTIONS
) -> nn.Module:
    """ResNet-56: blocks 9-9-9, 58 masked layers."""
    return ResNet(BasicBlock, (9, 9, 9), NARROW, classes, channels, image_size, options)


def resnet110(
    classes: int, channels: int, image_size: int, options: ArchOptions = DEFAULT_OPTIONS
) -> nn.Module:
    """ResNet-110: blocks 18-18-18, 112 masked layers."""
    return ResNet(BasicBlock, (18, 18, 18), NARROW, classes, channels, image_size, options)
