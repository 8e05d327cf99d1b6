"""Draws: a number is a pure function of (seed, purpose, layer name, draw number, index).

The generator is splitmix64 (Steele, Lea and Flood 2014) used as a counter hash: output `i` of a
stream is `mix(key + (i + 1) * GOLDEN)`, so any element is reached without the ones before it.
It is chosen over Philox because it needs nothing but 64-bit wrapping add, multiply, xor and shift,
which numpy, torch on CPU and CUDA, and ONNX all have; Philox needs the high half of a product.

The stream's key is the first 8 bytes (little-endian) of a SHA-256 over a canonical description,
so layers, draws and purposes get unrelated streams, whatever order they are asked for in.

One 64-bit output gives one number:
    bit  63      the sign, for every kind of init (1 = negative): Biprop needs this bit alone
    bits 62..40  magnitude of the uniform kinds: (2k + 1) / 2**24 for 23-bit k, exact in float32
    bits 62..47  index into the half-normal quantile table of `normal_table`
The magnitude is multiplied by the layer's float32 scale: one IEEE rounding, the same everywhere.

This file is the numpy reference; `draws_torch` yields the same bits on any torch device.
"""

import functools
import hashlib
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.models.normal_table import half_normal

Init = Literal["kaiming_normal", "kaiming_uniform", "signed_constant"]
Purpose = Literal["weight", "score", "pick"]
INITS: tuple[Init, ...] = get_args(Init)

GOLDEN = 0x9E3779B97F4A7C15
MIX_1 = 0xBF58476D1CE4E5B9
MIX_2 = 0x94D049BB133111EB
MAX_SEED = 2**63 - 1
_BLOCK = 1 << 15  # indices per step: the working set stays in the cache
_WRAP = (1 << 64) - 1
MAX_RUN = 1 << 16  # indices of one call of `high_bits`


def check_seed(seed: int) -> int:
    """Returns the seed. Raises UsageFault unless 0 <= seed < 2**63 (what TOML and JSON carry)."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
        raise UsageFault(f"seed {seed!r} is out of range: expected an integer from 0 to {MAX_SEED}")
    return seed


def stream_key(seed: int, layer: str, draw: int = 0, purpose: Purpose = "weight") -> int:
    """The 64-bit key of one stream.

    Args:
        seed: 0 to 2**63 - 1.
        layer: the layer's name in the network, for example `layer1.0.conv1`.
        draw: 0 for the first draw; IteRand's events count up from 1.
        purpose: `weight`, `score` (initial scores) or `pick` (which weights an event redraws).

    Raises:
        UsageFault: the seed is out of range.
    """
    head = f"recycle-pipeline/draw/1/{purpose}\0".encode()
    numbers = check_seed(seed).to_bytes(8, "little") + draw.to_bytes(4, "little")
    return int.from_bytes(hashlib.sha256(head + numbers + layer.encode()).digest()[:8], "little")


def bits_at(key: int, indices: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The 64-bit outputs of a stream at these indices; same shape, uint64."""
    z = (indices + np.uint64(1)) * np.uint64(GOLDEN) + np.uint64(key)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(MIX_1)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(MIX_2)
    return z ^ (z >> np.uint64(31))


def weights_at(key: int, indices: NDArray[np.integer], init: Init, scale: np.float32) -> NDArray[np.float32]:
    """Drawn weights at flat indices of a layer.

    Args:
        key: from `stream_key`.
        indices: (n,) positions in the flattened (C-order) weight.
        init: which distribution.
        scale: standard deviation (normal), bound (uniform) or magnitude (signed constant), float32.

    Returns:
        (n,) float32.
    """
    out = np.empty(indices.shape, np.float32)
    for start in range(0, indices.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        out[block] = _values(bits_at(key, indices[block].astype(np.uint64)), init, scale)
    return out


def signs_at(key: int, indices: NDArray[np.integer]) -> NDArray[np.bool_]:
    """True where the drawn weight is negative, whatever the init; (n,) bool."""
    return (high_bits_at(key, indices) >> np.uint64(63)).astype(np.bool_)


def high_bits_at(key: int, indices: NDArray[np.integer]) -> NDArray[np.uint64]:
    """The outputs of a stream at these indices, of which bits 63 to 33 count, the others being left unmixed.

    They hold the sign and the magnitude of every init. Same shape, uint64.
    """
    out = indices.astype(np.uint64)
    scratch = np.empty_like(out[:_BLOCK])
    for start in range(0, indices.size, _BLOCK):
        z = out[start : start + _BLOCK]
        z *= np.uint64(GOLDEN)
        z += np.uint64((key + GOLDEN) & _WRAP)
        _mix(z, scratch[: len(z)])
    return out


def high_bits(
    key: int, first: int, out: NDArray[np.uint64], scratch: NDArray[np.uint64], step: int = 1
) -> None:
    """The same at indices from `first` on, which is faster, into memory that the caller has.

    Args:
        key: of the stream.
        first: the first index.
        out, scratch: (n,) each, n at most `MAX_RUN`.
        step: from one index to the next.
    """
    np.add(_steps(step)[: len(out)], np.uint64((key + (first + 1) * GOLDEN) & _WRAP), out=out)
    _mix(out, scratch)


@functools.lru_cache(4)
def _steps(step: int) -> NDArray[np.uint64]:
    return np.arange(0, MAX_RUN, dtype=np.uint64) * np.uint64(step * GOLDEN & _WRAP)


def _mix(z: NDArray[np.uint64], scratch: NDArray[np.uint64]) -> None:
    """`bits_at` in place but for its last step, which leaves bits 63 to 33 as they are."""
    for shift, factor in ((30, MIX_1), (27, MIX_2)):
        np.right_shift(z, np.uint64(shift), out=scratch)
        np.bitwise_xor(z, scratch, out=z)
        np.multiply(z, np.uint64(factor), out=z)


def _values(bits: NDArray[np.uint64], init: Init, scale: np.float32) -> NDArray[np.float32]:
    if init == "kaiming_normal":
        magnitude = half_normal()[(bits >> np.uint64(47)) & np.uint64(0xFFFF)]
    elif init == "kaiming_uniform":
        odd = ((bits >> np.uint64(40)) & np.uint64(0x7FFFFF)) * np.uint64(2) + np.uint64(1)
        magnitude = odd.astype(np.float32) * np.float32(2**-24)
    else:
        magnitude = np.ones(bits.shape, np.float32)
    magnitude = magnitude * scale
    signed: NDArray[np.float32] = np.where(bits >> np.uint64(63), -magnitude, magnitude)
    return signed
