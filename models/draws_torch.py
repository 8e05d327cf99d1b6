"""The draws of `draws` on a torch device: the same bits on CPU and CUDA as numpy gives.

torch has no full uint64 arithmetic, so the words are int64: wrapping multiply, add and xor are the
same bits, and a logical shift is an arithmetic one with the sign's copies masked away.
"""

import numpy as np
import torch
from torch import Tensor

from recycle_pipeline.models.draws import GOLDEN, MIX_1, MIX_2, Init
from recycle_pipeline.models.normal_table import half_normal


def signed(word: int) -> int:
    """A 64-bit word as the int64 with the same bits."""
    return word - (1 << 64) if word >= 1 << 63 else word


def bits_of(key: int, count: int, device: torch.device) -> Tensor:
    """The first `count` outputs of a stream; (count,) int64, the bits of `draws.bits_at`."""
    z = torch.arange(1, count + 1, dtype=torch.int64, device=device).mul_(signed(GOLDEN)).add_(signed(key))
    z.bitwise_xor_(_logical_shift(z, 30)).mul_(signed(MIX_1))
    z.bitwise_xor_(_logical_shift(z, 27)).mul_(signed(MIX_2))
    return z.bitwise_xor_(_logical_shift(z, 31))


def draw_weights(
    key: int, shape: tuple[int, ...], init: Init, scale: np.float32, device: torch.device
) -> Tensor:
    """A whole layer's drawn weights, float32 of `shape`, bit-equal to `draws.weights_at`."""
    bits = bits_of(key, int(np.prod(shape)), device)
    if init == "kaiming_normal":
        table = torch.from_numpy(half_normal().copy()).to(device)
        magnitude = table[_logical_shift(bits, 47) & 0xFFFF]
    elif init == "kaiming_uniform":
        odd = (_logical_shift(bits, 40) & 0x7FFFFF) * 2 + 1
        magnitude = odd.to(torch.float32).mul_(2.0**-24)
    else:
        magnitude = torch.ones(bits.shape, device=device)
    magnitude.mul_(float(scale))
    return torch.where(bits < 0, -magnitude, magnitude).reshape(shape)


def draw_picks(key: int, shape: tuple[int, ...], probability: float, device: torch.device) -> Tensor:
    """Independent choices, bool of `shape`: the top 24 bits of each output below `probability`."""
    bits = bits_of(key, int(np.prod(shape)), device)
    return (_logical_shift(bits, 40) < round(probability * (1 << 24))).reshape(shape)


def _logical_shift(z: Tensor, by: int) -> Tensor:
    return (z >> by) & ((1 << (64 - by)) - 1)
