"""Convolutions of images so small that every window sees the whole image, as matrix products.

Late layers of a network see such images where its input is small: digits of 8 pixels are 2 and 1 pixels wide
in the last two stages of ResNet-18. On a CPU torch's convolutions of 3x3 taps then multiply by the padding's
zeros for the most part, forward and backward; products take a fraction of the time (docs/results.md, tiny
images). The numbers are the same but for rounding.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

MOST = 16  # numbers of output pixels times input pixels: 2x2 to 2x2; beyond it was not measured
FEW = 16  # images, below which copying taps for several output pixels may cost more than it saves


class TinyImages(TorchFunctionMode):
    """Within it such convolutions are products on a CPU, if called by position, as torch's layers do."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if func is F.conv2d and not named and (found := _product(*args)) is not None:
            return found
        return func(*args, **named)


def _product(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:
    """`F.conv2d` of the same arguments; None where some window does not see the whole image."""
    if images.dim() != 4 or images.device.type != "cpu" or groups != 1 or isinstance(padding, str):
        return None
    (height, width), (tall, wide) = images.shape[2:], weight.shape[2:]
    if height * width > MOST or any(_of(dilation, axis) != 1 for axis in (0, 1)):
        return None
    rows = _taps(height, tall, _of(stride, 0), _of(padding, 0))
    columns = _taps(width, wide, _of(stride, 1), _of(padding, 1))
    if not rows or not columns or len(rows) * len(columns) * height * width > MOST:
        return None
    count, pixels, channels, filters = len(rows) * len(columns), height * width, *weight.shape[1::-1]
    if count > 1 and len(images) < FEW:
        return None
    if count == 1:
        (top, left) = rows[0][0], columns[0][0]
        taps = weight[:, :, top : top + height, left : left + width]
        return F.linear(images.flatten(1), taps.flatten(1), bias)[:, :, None, None]
    seen = [y * wide + x for ys, xs in product(rows, columns) for y, x in product(ys, xs)]
    by_tap = weight.permute(2, 3, 1, 0).reshape(tall * wide, channels, filters)
    chosen = by_tap.index_select(0, torch.tensor(seen, device=images.device))
    matrices = chosen.view(count, pixels * channels, filters)
    flat = images.flatten(2).transpose(1, 2).flatten(1)
    sums = torch.bmm(flat.expand(count, -1, -1), matrices)  # (output pixels, N, filters)
    if bias is not None:
        sums = sums + bias.to(sums.dtype)  # under autocast of the network's own they differ
    return sums.permute(1, 2, 0).reshape(len(images), filters, len(rows), len(columns))


def _taps(side: int, kernel: int, stride: int, padding: int) -> list[range]:
    """For each window along one axis the taps that the image meets; empty where one misses a part."""
    last = (side + 2 * padding - kernel) // stride  # the number of the last window
    if last < 0 or last * stride > padding or kernel - padding < side:
        return []
    first = [padding - window * stride for window in range(last + 1)]
    return [range(tap, tap + side) for tap in first]


def _of(value: Any, axis: int) -> int:
    return int(value if isinstance(value, int) else value[axis % len(value)])
