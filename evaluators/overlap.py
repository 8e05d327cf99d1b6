"""How much two subnetworks share: masks and weights, layer by layer and in total."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.models.subnetwork import MaskedTensor, Subnetwork


@dataclass(frozen=True)
class Overlap:
    """Counts of weights, of one layer or added up over several.

    Attributes:
        name: of the layer.
        size: weights in it.
        kept_a, kept_b: kept by each mask.
        both: kept by both.
        both_by_chance: expected value of `both` (see `chance`).
        same_sign: of those kept by both, how many have one sign.
        weights_equal: whether the effective weights are equal bit for bit.
    """

    name: str
    size: int
    kept_a: int
    kept_b: int
    both: int
    both_by_chance: float
    same_sign: int
    weights_equal: bool

    @property
    def masks_equal(self) -> bool:
        return self.kept_a == self.both == self.kept_b

    @property
    def hamming(self) -> int:
        """Bits in which the masks differ."""
        return self.kept_a + self.kept_b - 2 * self.both

    @property
    def jaccard(self) -> float | None:
        """Kept by both over kept by either; None where neither keeps any."""
        return self._jaccard(self.both)

    @property
    def jaccard_by_chance(self) -> float | None:
        """The same ratio of expected values; see `chance`."""
        return self._jaccard(self.both_by_chance)

    @property
    def sign_agreement(self) -> float | None:
        """Fraction of the weights kept by both that have one sign; None where there are none."""
        return self.same_sign / self.both if self.both else None

    def _jaccard(self, both: float) -> float | None:
        either = self.kept_a + self.kept_b - both
        return both / either if either else None


def chance(size: int, kept_a: int, kept_b: int) -> float:
    """Expected number of weights that two independent masks of these counts both keep: a b / n.

    Exact: every mask of that count is equally likely, so the number is hypergeometric. The Jaccard index
    that goes with it is the ratio of expectations, (ab/n) / (a + b - ab/n); the expectation of the ratio
    (Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", exercise 3.1.3, for equal counts) is a sum
    over all overlaps and larger by less than 1 / 2n. Over several layers the expected numbers are added up
    first, so that chance, too, knows how dense each layer is.
    """
    return kept_a * kept_b / size


def overlaps(a: Subnetwork, b: Subnetwork) -> list[Overlap]:
    """The overlap of every masked layer, in the order of the network.

    Raises:
        UsageFault: they are not networks of the same layers and shapes; names the first difference.
    """
    _check_comparable(a.tensors, b.tensors)
    return [_overlap(x, y, a.seed, b.seed) for x, y in zip(a.tensors, b.tensors, strict=True)]


def total(layers: Sequence[Overlap]) -> Overlap:
    """The sum over layers."""
    return Overlap(
        "total",
        sum(layer.size for layer in layers),
        sum(layer.kept_a for layer in layers),
        sum(layer.kept_b for layer in layers),
        sum(layer.both for layer in layers),
        sum(layer.both_by_chance for layer in layers),
        sum(layer.same_sign for layer in layers),
        all(layer.weights_equal for layer in layers),
    )


def state_differences(a: Subnetwork, b: Subnetwork) -> list[str]:
    """Names of the other arrays (batch-norm statistics, biases) that one lacks or that differ in a bit."""
    both = a.state.keys() & b.state.keys()
    differing = {name for name in both if not _same_bits(a.state[name], b.state[name])}
    return sorted(differing | (a.state.keys() ^ b.state.keys()))


def _overlap(a: MaskedTensor, b: MaskedTensor, seed_a: int, seed_b: int) -> Overlap:
    weights_a, weights_b = a.weights(seed_a), b.weights(seed_b)
    both = a.mask & b.mask
    same_sign = np.signbit(weights_a[both]) == np.signbit(weights_b[both])
    return Overlap(
        a.name,
        a.size,
        a.kept,
        b.kept,
        int(np.count_nonzero(both)),
        chance(a.size, a.kept, b.kept),
        int(np.count_nonzero(same_sign)),
        _same_bits(weights_a, weights_b),
    )


def _same_bits(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Also tells 0.0 from -0.0, and finds a NaN equal to itself."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def _check_comparable(a: Sequence[MaskedTensor], b: Sequence[MaskedTensor]) -> None:
    same = "expected tickets of one architecture, width, image size and number of classes"
    for place, (x, y) in enumerate(zip(a, b, strict=False), 1):
        if x.name != y.name:
            raise UsageFault(f"masked layer {place} is {x.name!r} in A and {y.name!r} in B: {same}")
        if x.mask.shape != y.mask.shape:
            shapes = (" x ".join(map(str, t.mask.shape)) for t in (x, y))
            raise UsageFault(f"layer {x.name!r} has shape {' in A and '.join(shapes)} in B: {same}")
    if len(a) != len(b):
        only = max(a, b, key=len)[min(len(a), len(b))]
        raise UsageFault(
            f"A has {len(a)} masked layers and B has {len(b)}; the first that only one has is "
            f"{only.name!r}: {same}"
        )
