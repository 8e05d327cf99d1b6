"""The Subnetwork value: everything that rebuilds a network from its seed, in numpy.

It needs no torch, so that a device with numpy alone can turn a ticket into weights.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.models.draws import Init, signs_at, stream_key, weights_at
from recycle_pipeline.models.kept_digest import KeptDigest, kept_digest
from recycle_pipeline.models.options import DEFAULT_OPTIONS, ArchOptions

BLOCK = 1 << 17  # weights that are rebuilt at a time: what that takes beside them stays in the cache
Scope = Literal["layer", "global"]
Scalar = str | int | float | bool


@dataclass(frozen=True)
class MaskedTensor:
    """One layer's mask and what its weights hold, over the draw of (seed, name).

    For a binary subnetwork, and for signed-constant weights, only the sign of a kept weight matters:
    `flips` says where it differs from the sign the seed gives. Otherwise `draws` and `sources` say
    which number of which draw each kept weight holds; both None means its own, of draw 0.

    Attributes:
        name: module name of the layer in the plain network.
        init, scale: the draw's distribution and its float32 scale (see `draws.weights_at`).
        mask: bool, the weight's shape, True = kept.
        gain: Biprop's gain, mean |weight| over the kept (divisor: their true count); None if continuous.
        flips: (kept,) bool, or None for no flips.
        draws: (kept,) int16, or None.
        sources: (kept,) int32 flat indices, or None.
    """

    name: str
    init: Init
    scale: np.float32
    mask: NDArray[np.bool_]
    gain: np.float32 | None = None
    flips: NDArray[np.bool_] | None = None
    draws: NDArray[np.int16] | None = None
    sources: NDArray[np.int32] | None = None

    @property
    def size(self) -> int:
        return self.mask.size

    @property
    def kept(self) -> int:
        return int(np.count_nonzero(self.mask))

    @property
    def sign_only(self) -> bool:
        """Whether kept weights differ in sign alone, so that provenance is one bit each."""
        return self.gain is not None or self.init == "signed_constant"

    @property
    def moved(self) -> int:
        """Kept weights whose value is not the one the seed gives at their place (signs, if sign only)."""
        bits = self.moved_bits()
        return 0 if bits is None else int(np.count_nonzero(bits))

    def moved_bits(self, kept: NDArray[np.intp] | None = None) -> NDArray[np.bool_] | None:
        """Which of the kept weights these are; (kept,), or None if there are none.

        Args:
            kept: the flat indices of the kept weights, if the caller has them already.
        """
        if self.sign_only:
            bits = self.flips
        elif self.sources is None or self.draws is None:
            bits = None
        else:
            bits = (self.sources != (np.flatnonzero(self.mask) if kept is None else kept)) | (self.draws != 0)
        return bits if bits is not None and bits.any() else None

    def weights(self, seed: int) -> NDArray[np.float32]:
        """The effective weight: float32 of the mask's shape, 0 where pruned."""
        effective = np.zeros(self.mask.shape, np.float32)
        flat = effective.reshape(-1)
        for start, kept, values in self._pieces(seed):
            flat[start : start + BLOCK][kept] = values
        return effective

    def rebuilt(
        self, seed: int, places: Iterable[NDArray[np.intp]] | None = None
    ) -> tuple[NDArray[np.float32], str]:
        """The effective weight, and its `kept_digest`, taken of what goes there while that is in the cache.

        Args:
            seed: of the draws.
            places: where weights are kept in each `BLOCK`, if the caller finds them. Taken when a block is
                rebuilt; until then flips may be unknown, and kept weights be marked by other bytes than 1.
        """
        effective = np.zeros(self.mask.shape, np.float32)
        flat, digest, zeros = (
            effective.reshape(-1),
            KeptDigest(self.mask.shape, self.mask.reshape(-1).view(np.uint8)),
            False,
        )
        for start, kept, values in self._pieces(seed, places):
            flat[start : start + BLOCK][kept] = values
            digest.add(values)
            zeros |= not values.all()
        # A gain or a scale that is next to nothing makes kept weights 0, which do not count as kept there.
        return effective, kept_digest(effective) if zeros else digest.digits()

    def _pieces(
        self, seed: int, places: Iterable[NDArray[np.intp]] | None = None
    ) -> Iterator[tuple[int, NDArray[np.intp], NDArray[np.float32]]]:
        """The kept weights of each `BLOCK`: where it begins, where in it they are, and they."""
        mask, first = self.mask.reshape(-1), 0
        starts = range(0, mask.size, BLOCK)
        places = (places_of(mask[start : start + BLOCK]) for start in starts) if places is None else places
        for start, kept in zip(starts, places, strict=True):
            part, first = slice(first, first + len(kept)), first + len(kept)
            own = kept + start
            yield (
                start,
                kept,
                self._signed(seed, own, part) if self.sign_only else self._drawn(seed, own, part),
            )

    def _signed(self, seed: int, kept: NDArray[np.intp], part: slice) -> NDArray[np.float32]:
        negative = signs_at(stream_key(seed, self.name), kept)
        if self.flips is not None:
            negative ^= self.flips[part]
        magnitude = self.scale if self.gain is None else self.gain
        return np.array([magnitude, -magnitude], np.float32).take(negative.view(np.uint8))

    def _drawn(self, seed: int, kept: NDArray[np.intp], part: slice) -> NDArray[np.float32]:
        if self.sources is None or self.draws is None:
            return weights_at(stream_key(seed, self.name), kept, self.init, self.scale)
        draws, sources = self.draws[part], self.sources[part]
        return drawn_values(seed, self.name, self.init, self.scale, draws, sources)


def places_of(bits: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The indices of set bits, ascending; (n,) to (k,).

    numpy goes from one set bit to the next where at most a tenth is set. Down to about a thirtieth its other
    way, over all bits, takes half as long, and bits set at the end bring it there.
    """
    count = int(np.count_nonzero(bits))
    if not bits.size <= 30 * count <= 3 * bits.size:
        return bits.nonzero()[0]
    more = np.ones(bits.size + bits.size // 8 + 1, np.bool_)
    more[: bits.size] = bits
    return more.nonzero()[0][:count]


def drawn_values(
    seed: int,
    layer: str,
    init: Init,
    scale: np.float32,
    draws: NDArray[np.int16],
    sources: NDArray[np.int32],
) -> NDArray[np.float32]:
    """The numbers that provenance names; (n,) float32.

    Args:
        seed, layer, init, scale: of the draws.
        draws: (n,) draw numbers.
        sources: (n,) flat indices within them.
    """
    values = np.empty(draws.size, np.float32)
    for draw in np.unique(draws):
        here = np.flatnonzero(draws == draw)
        values[here] = weights_at(stream_key(seed, layer, int(draw)), sources[here], init, scale)
    return values


@dataclass(frozen=True)
class Subnetwork:
    """Architecture + drawn weights + masks, and the statistics that came from data.

    Attributes:
        arch: registry name, or `package.module:function`.
        classes: class names, in the order of the logits.
        channels, image_size: of the input, (N, channels, image_size, image_size).
        mean, std: per channel, of pixels / 255: the input is (pixels / 255 - mean) / std.
        seed: of every draw.
        kind: binary (sign times gain) or continuous.
        prune: the prune rate asked for.
        scope: whether it held per layer or over all.
        recipe: settings of the search that found it, for the record; nothing is rebuilt from them.
        tensors: the masked layers, in the network's order.
        state: every other array of the network's state (batch-norm statistics, biases), by state name.
        options: of the architecture.
    """

    arch: str
    classes: tuple[str, ...]
    channels: int
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    seed: int
    kind: Literal["binary", "continuous"]
    prune: float
    scope: Scope
    tensors: tuple[MaskedTensor, ...]
    state: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    recipe: Mapping[str, Scalar] = field(default_factory=dict)
    options: ArchOptions = DEFAULT_OPTIONS

    @property
    def size(self) -> int:
        """Number of masked weights."""
        return sum(t.size for t in self.tensors)

    @property
    def kept(self) -> int:
        """Number of kept weights."""
        return sum(t.kept for t in self.tensors)

    def not_finite(self) -> list[str]:
        """Names of what holds NaN or infinity; drawn weights are finite where scale and gain are."""
        found = [
            name
            for name, array in self.state.items()
            if array.dtype.kind == "f" and not np.isfinite(array).all()
        ]
        for tensor in self.tensors:
            if not np.isfinite(tensor.scale) or not np.isfinite(0.0 if tensor.gain is None else tensor.gain):
                found.append(f"{tensor.name}.weight")
        return found

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """The effective weights by state name (`<layer>.weight`)."""
        return {f"{t.name}.weight": t.weights(self.seed) for t in self.tensors}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The full state of the plain network: effective weights and `state`."""
        return {**self.weights(), **self.state}


def array_digest(array: NDArray[Any]) -> str:
    """SHA-256 (hex) over dtype, shape and little-endian bytes: equal only for bit-equal arrays."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    digest = hashlib.sha256(f"{array.dtype.name}:{','.join(map(str, array.shape))}\0".encode())
    digest.update(little.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def mask_entropy_bytes(tensors: tuple[MaskedTensor, ...]) -> float:
    """The independent-bits bound of the masks, in bytes: per layer, size times entropy of the density."""
    return sum(_entropy_bytes(tensor.kept, tensor.size) for tensor in tensors)


def bits_entropy_bytes(tensor: MaskedTensor) -> float:
    """The independent-bits bound of a layer's mask and flips, in bytes; draws and sources are no bits."""
    flipped = tensor.moved if tensor.sign_only else 0
    return _entropy_bytes(tensor.kept, tensor.size) + _entropy_bytes(flipped, tensor.kept)


def _entropy_bytes(count: int, size: int) -> float:
    """Of `size` independent bits of which `count` are set: size times H(count / size), in bytes."""
    if not 0 < count < size:
        return 0.0
    p = count / size
    return -size * (p * math.log2(p) + (1 - p) * math.log2(1 - p)) / 8
