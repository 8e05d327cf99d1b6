"""Places in the order of many numbers, exact, found without ordering all of them.

A sample's order gives bounds that the number sought lies between (Floyd and Rivest 1975), and only what
lies there is ordered. Where numpy orders with AVX2 that is no slower than ordering all; on a Zen 4, whose
AVX-512 is slow to store what it picks out, it takes an eighth of the time (docs/results.md).
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SAMPLED = 1 << 16  # numbers, from which on a sample tells where to look
EVERY = 61  # a number is in it: coprime to the sides of kernels, whose taps may be of different sizes
FAR = 4  # standard deviations of a rank within the sample that bounds are away from it

Numbers = NDArray[np.float32]


def value_at(values: Numbers, rank: int) -> np.float32:
    """The number of this rank, from the lowest at 0.

    Args:
        values: (n,); NaN ranks highest.
        rank: 0 to n - 1.
    """
    if len(values) >= SAMPLED:
        sample, place = values[::EVERY].copy(), rank / len(values)
        spread = FAR * math.sqrt(len(sample) * place * (1 - place)) + 1
        first, last = (int(place * len(sample) + side * spread) for side in (-1, 1))
        first, last = max(first, 0), min(last, len(sample) - 1)
        sample.partition((first, last))
        under, up_to = values < sample[first], values <= sample[last]
        within = values[np.flatnonzero(up_to & ~under)]  # empty where a bound is not a number
        own = rank - int(np.count_nonzero(under))
        if 0 <= own < len(within):  # else the sample was not like the rest
            values, rank = within, own
    found: np.float32 = np.partition(values, rank)[rank]
    return found


def places(ranked: Tensor, *spans: tuple[int, int]) -> list[Tensor]:
    """Positions of the numbers in each span of ranks, (count,) int64, from the lowest; ties by index.

    Args:
        ranked: (n,) float32; with NaN the places are some, but as many.
        spans: first rank and the one after the last, 0 to n; may be empty.
    """
    if ranked.is_cuda:
        order = ranked.argsort(stable=True)
        return [order[slice(*span)] for span in spans]
    return [torch.from_numpy(_places(ranked.numpy(), *span)) for span in spans]


def _places(values: Numbers, first: int, last: int) -> NDArray[np.int64]:
    if first >= last:
        return np.empty(0, np.int64)
    low, high = value_at(values, first), value_at(values, last - 1)
    among = np.flatnonzero(~((values < low) | (values > high)))  # with NaN too, as many as are asked for
    # One sort of integers, rank above and index below, is several times a stable sort of floats.
    bits = (values[among] + 0.0).view(np.int32).astype(np.int64)  # + 0.0 makes -0 equal to 0
    ordered = np.where(bits < 0, bits ^ 0x7FFFFFFF, bits)  # integers in the order of their floats
    packed = (ordered << 32) | np.arange(len(bits), dtype=np.int64)
    packed.sort()
    lower = np.count_nonzero(values < low)
    found: NDArray[np.int64] = among[packed[first - lower : last - lower] & 0xFFFFFFFF]
    return found
