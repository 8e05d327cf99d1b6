"""Convolutions of images so small that every window sees the whole image, as matrix products.

Late layers of a network see such images where its input is small: digits of 8 pixels are 2 and 1 pixels wide
in the last two stages of ResNet-18. On a CPU torch's convolutions of 3x3 taps then multiply by the padding's
zeros for the most part, forward and backward; products take a fraction of the time (docs/results.md, tiny
images). The numbers are the same but for rounding.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MOST = 16  # numbers of output pixels times input pixels: 2x2 to 2x2; beyond it was not measured
FEW = 16  # images, below which copying taps for several output pixels may cost more than it saves


@contextmanager
def tiny_images(network: nn.Module) -> Iterator[None]:
    """Within it the network's convolutions of such images are products where they are on a CPU.

    Layers that compute something else than torch's own, in a forward of theirs or with another padding than
    zeros, are left alone. It holds in the backward pass too, where a network may compute parts again.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d) and _is_plain(layer)]
    for layer in layers:
        layer.forward = partial(_forward, layer)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _is_plain(layer: nn.Conv2d) -> bool:
    own = type(layer).forward is not nn.Conv2d.forward or "forward" in vars(layer)
    return not own and layer.padding_mode == "zeros"


def _forward(layer: nn.Conv2d, images: Tensor) -> Tensor:
    found = _product(images, layer)
    return type(layer).forward(layer, images) if found is None else found


def _product(images: Tensor, layer: nn.Conv2d) -> Tensor | None:
    """What the layer makes of (N, C, H, W); None where some window does not see the whole image."""
    padding, stride = layer.padding, layer.stride
    if images.dim() != 4 or images.device.type != "cpu" or layer.groups != 1 or isinstance(padding, str):
        return None
    (height, width), (tall, wide) = images.shape[2:], layer.kernel_size
    if height * width > MOST or set(layer.dilation) != {1}:
        return None
    rows = _taps(height, tall, stride[0], padding[0])
    columns = _taps(width, wide, stride[1], padding[1])
    if not rows or not columns or len(rows) * len(columns) * height * width > MOST:
        return None
    count, pixels = len(rows) * len(columns), height * width
    if count > 1 and len(images) < FEW:
        return None
    weight, bias = layer.weight, layer.bias  # a parametrized weight is computed where it is asked for
    if count == 1:
        (top, left) = rows[0][0], columns[0][0]
        taps = weight[:, :, top : top + height, left : left + width]
        return F.linear(images.flatten(1), taps.flatten(1), bias)[:, :, None, None]
    seen = [y * wide + x for ys, xs in product(rows, columns) for y, x in product(ys, xs)]
    by_tap = weight.permute(2, 3, 1, 0).reshape(tall * wide, *weight.shape[1::-1])
    chosen = by_tap.index_select(0, torch.tensor(seen, device=images.device))
    matrices = chosen.view(count, pixels * layer.in_channels, layer.out_channels)
    flat = images.flatten(2).transpose(1, 2).flatten(1)
    sums = torch.bmm(flat.expand(count, -1, -1), matrices)  # (output pixels, N, filters)
    if bias is not None:
        sums = sums + bias.to(sums.dtype)  # under autocast of the network's own they differ
    return sums.permute(1, 2, 0).reshape(len(images), layer.out_channels, len(rows), len(columns))


def _taps(side: int, kernel: int, stride: int, padding: int) -> list[range]:
    """For each window along one axis the taps that the image meets; empty where one misses a part."""
    last = (side + 2 * padding - kernel) // stride  # the number of the last window
    if last < 0 or last * stride > padding or kernel - padding < side:
        return []
    first = [padding - window * stride for window in range(last + 1)]
    return [range(tap, tap + side) for tap in first]
