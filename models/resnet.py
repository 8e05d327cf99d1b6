"""Residual networks (He et al. 2016), post-activation, batch norm without affine parameters.

For images up to 64 px the CIFAR variant of the subnetwork literature: 3x3 stem of stride 1 and no
max-pool, stages of 64-128-256-512 channels, 1x1 projection where the shape changes, global average
pool. Above 64 px the original 7x7 stem of stride 2 with max-pool. No biases anywhere.
Weights at 3 channels and 10 classes, 3x3 stem: ResNet-18 11,164,352, ResNet-34 21,265,088.
"""

from collections import OrderedDict

from torch import Tensor, nn

SMALL_IMAGE = 64  # px; up to here the 3x3 stem


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch norm without gamma and beta, as published; running statistics still depend on data."""
    return nn.BatchNorm2d(channels, affine=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; (N, inputs, H, W) -> (N, outputs, H/stride, W/stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = batch_norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, padding=1, bias=False)
        self.bn2 = batch_norm(outputs)
        self.relu = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            projection = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(OrderedDict(conv=projection, bn=batch_norm(outputs)))

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        merged: Tensor = self.relu(out + self.shortcut(x))
        return merged


class ResNet(nn.Module):
    """Stem, four stages, pool, classifier; (N, channels, S, S) -> (N, classes)."""

    def __init__(
        self, blocks: tuple[int, int, int, int], classes: int, channels: int, image_size: int
    ) -> None:
        super().__init__()
        self.stem = _stem(channels, image_size)
        stages: list[nn.Module] = []
        inputs = 64
        for index, (count, outputs) in enumerate(zip(blocks, (64, 128, 256, 512), strict=True)):
            strides = [1 if index == 0 else 2] + [1] * (count - 1)
            stage = nn.Sequential()
            for stride in strides:
                stage.append(BasicBlock(inputs, outputs, stride))
                inputs = outputs
            stages.append(stage)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(512, classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (N, 64, S, S), or S/4 with the 7x7 stem
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))  # (N, 512, S/8, S/8)
        logits: Tensor = self.classifier(self.pool(x).flatten(1))
        return logits


def _stem(channels: int, image_size: int) -> nn.Sequential:
    small = image_size <= SMALL_IMAGE
    kernel, stride, padding = (3, 1, 1) if small else (7, 2, 3)
    layers: dict[str, nn.Module] = {
        "conv": nn.Conv2d(channels, 64, kernel, stride, padding, bias=False),
        "bn": batch_norm(64),
        "relu": nn.ReLU(),
    }
    if not small:
        layers["pool"] = nn.MaxPool2d(3, 2, padding=1)
    return nn.Sequential(OrderedDict(layers))


def resnet18(classes: int, channels: int, image_size: int) -> nn.Module:
    """ResNet-18: blocks 2-2-2-2, 21 masked layers."""
    return ResNet((2, 2, 2, 2), classes, channels, image_size)


def resnet34(classes: int, channels: int, image_size: int) -> nn.Module:
    """ResNet-34: blocks 3-4-6-3, 37 masked layers."""
    return ResNet((3, 4, 6, 3), classes, channels, image_size)
