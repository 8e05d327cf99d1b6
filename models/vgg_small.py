"""VGG-Small: three pairs of 3x3 convolutions of 128, 256, 512 channels and one linear layer.

A 2x2 max-pool after each pair; no biases. Weights at 3 x 32 x 32 and 10 classes: 4,656,512, and
7,249,120 at width 1.25. Two variants were published (Diffenderfer and Kailkhura 2021) with the same
weights:

    vgg_small       batch norm behind the max-pools alone; ReLU after the first convolution and the last
                    batch norm alone, so that in between nothing but max-pools is not linear. The source's
                    config for real activations names this one, hence it has the plain name.
    vgg_small_bn    batch norm and ReLU behind every convolution, as a reader would expect.

Which of them the published 91.48 % (95 % removed) is of is not settled: docs/results.md says what each
reaches here.

With binary activations both have batch norm and sign behind every convolution, but ReLU behind the last
one: the linear layer sees real numbers. Of the published network with signs and sparse batch norm there
is none here: it takes the sign of sums of +-gain, which are 0 where they cancel, but for rounding; a
third of its top-1 classes agreed between torch and ONNX Runtime (untrained, 256 images, CPU).
"""

from collections import OrderedDict

from torch import nn

from recycle_pipeline.models.conv_nets import side_after_pools
from recycle_pipeline.models.layers import activation, batch_norm
from recycle_pipeline.models.options import DEFAULT_OPTIONS, ArchOptions

WIDTHS = (128, 128, 256, 256, 512, 512)


def vgg_small(
    classes: int, channels: int, image_size: int, options: ArchOptions = DEFAULT_OPTIONS
) -> nn.Module:
    """VGG-Small with the sparse batch norms of the published network; 7 masked layers."""
    return _vgg(False, classes, channels, image_size, options)


def vgg_small_bn(
    classes: int, channels: int, image_size: int, options: ArchOptions = DEFAULT_OPTIONS
) -> nn.Module:
    """VGG-Small with batch norm and activation behind every convolution; 7 masked layers."""
    return _vgg(True, classes, channels, image_size, options)


def _vgg(regular: bool, classes: int, channels: int, image_size: int, options: ArchOptions) -> nn.Module:
    """(N, channels, S, S) -> (N, classes). Raises UsageFault where the image is below 8 px."""
    side = side_after_pools("vgg_small_bn" if regular else "vgg_small", 3, image_size)
    layers: dict[str, nn.Module] = {}
    inputs, last = channels, len(WIDTHS)
    for index, width in enumerate(WIDTHS, start=1):
        outputs, pooled = options.scaled(width), index % 2 == 0
        layers[f"conv{index}"] = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        if pooled:
            layers[f"pool{index // 2}"] = nn.MaxPool2d(2)
        if pooled or regular or options.binary:
            layers[f"bn{index}"] = batch_norm(outputs, options)
        if index == last:
            layers[f"relu{index}"] = nn.ReLU()
        elif options.binary:
            layers[f"sign{index}"] = activation(options)
        elif regular or index == 1:
            layers[f"relu{index}"] = activation(options)
        inputs = outputs
    layers["flatten"] = nn.Flatten()
    layers["classifier"] = nn.Linear(inputs * side * side, classes, bias=False)
    return nn.Sequential(OrderedDict(layers))
