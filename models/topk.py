"""Which weights are kept: the top by rank, with exact counts and ties broken by index."""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.models.init_scale import ScoreRule
from recycle_pipeline.models.order import value_at

Rounding = Literal["edge-popup", "iterand"]
ROUNDINGS: tuple[Rounding, ...] = get_args(Rounding)


def kept_count(size: int, prune: float, rounding: Rounding = "edge-popup") -> int:
    """How many of `size` weights stay at this prune rate; at least one does.

    Two published roundings exist, and they differ by one weight or two:
        edge-popup  edge-popup, Biprop and weight recycling: with density k the number removed is
                    int((1 - k) * size) in float64, truncated
        iterand     IteRand and Meta-ticket: the number removed is round(prune * (size - 1)), half to even
    """
    if rounding == "iterand":
        return size - round(prune * (size - 1))
    density = 1.0 - prune
    return size - int((1.0 - density) * size)


def layer_minimums(sizes: Sequence[int], prune: float, share: float, rounding: Rounding) -> list[int]:
    """How many weights each layer keeps at the least under a global ranking: the guard against collapse.

    A ranking over all layers may leave a layer with nothing, and a layer with nothing cuts the network in
    two (layer collapse, Tanaka et al. 2020). Each layer is promised `share` of what it would keep if
    ranked alone, and at least one weight. Share 0 promises nothing, which is the published rule.

    Args:
        sizes: of the layers.
        prune: fraction removed over all layers.
        share: 0 <= share <= 0.5.
        rounding: of the counts.

    Raises:
        UsageFault: fewer weights are kept over all layers than are promised.
    """
    if share == 0:
        return [0] * len(sizes)
    promised = [max(1, int(share * kept_count(size, prune, rounding))) for size in sizes]
    kept = kept_count(sum(sizes), prune, rounding)
    if sum(promised) > kept:
        raise UsageFault(
            f"--layer-minimum {share:g} promises {sum(promised)} weights to {len(sizes)} layers, but at "
            f"--prune {prune:g} only {kept} are kept over all; lower one of the two, or --layer-minimum 0"
        )
    return promised


class Scratch:
    """Memory for the ranks of a layer's scores, used again and again: fresh pages cost time on a CPU.

    Args:
        size: of the largest layer.
        device: of the scores; CUDA keeps freed memory by itself, and nothing is held here.
    """

    def __init__(self, size: int, device: torch.device) -> None:
        self._ranked = torch.empty(size if device.type == "cpu" else 0, device=device)

    def ranks(self, scores: Tensor, rule: ScoreRule) -> Tensor:
        """As `ranks`; valid until the next call."""
        if rule == "signed" or scores.is_cuda:
            return ranks(scores, rule)
        ranked = self._ranked[: scores.numel()].view(scores.shape)
        torch.abs(scores, out=ranked)
        return ranked


def ranks(scores: Tensor, rule: ScoreRule) -> Tensor:
    """What masks and recycling rank by, shape as given: the scores' magnitudes, or they themselves."""
    return scores.abs() if rule == "magnitude" else scores


def top_mask(magnitudes: Tensor, kept: int) -> Tensor:
    """The mask that keeps the `kept` largest; of equal ones, those of lower index.

    Args:
        magnitudes: any shape, floats (ranks of either sign are taken too).
        kept: 1 to the number of elements.

    Returns:
        bool, shape of `magnitudes`, exactly `kept` of them True.
    """
    flat = magnitudes.reshape(-1)
    threshold = _kth_largest(flat, kept)
    mask = _at_least(flat, threshold)
    if (surplus := count_true(mask) - kept) > 0:  # of equal ones at the threshold, the last go
        tied = (flat == threshold).nonzero() if flat.is_cuda else _equal_to(flat, threshold)
        mask[tied.flatten()[-surplus:]] = False
    return mask.reshape(magnitudes.shape)


def top_masks(magnitudes: list[Tensor], kept: int, minimum: Sequence[int] | None = None) -> list[Tensor]:
    """One ranking over several layers (global scope); ties go to the earlier layer, then index.

    With a minimum, each layer's best `minimum` weights are kept before the rest is ranked over all. The
    total is exact all the same, and where no layer falls below its minimum the masks are those without.

    Args:
        magnitudes: of each layer, any shapes.
        kept: over all layers, 1 to the number of elements.
        minimum: per layer, 0 to its number of elements, together at most `kept`; None for 0.
    """
    flat = torch.cat([m.reshape(-1) for m in magnitudes])
    if minimum is not None and any(minimum):
        promised = [_best(m, least) for m, least in zip(magnitudes, minimum, strict=True)]
        flat = flat.masked_fill(torch.cat(promised), math.inf)
    parts = torch.split(top_mask(flat, kept), [m.numel() for m in magnitudes])
    return [part.reshape(m.shape) for part, m in zip(parts, magnitudes, strict=True)]


def _best(magnitudes: Tensor, count: int) -> Tensor:
    """(n,) bool, True at the `count` largest; count may be 0."""
    if count == 0:
        return torch.zeros(magnitudes.numel(), dtype=torch.bool, device=magnitudes.device)
    return top_mask(magnitudes, count).reshape(-1)


def count_true(mask: Tensor) -> int:
    """How many of a mask's elements are True."""
    return int(mask.count_nonzero() if mask.is_cuda else np.count_nonzero(mask.numpy()))


def _equal_to(flat: Tensor, value: Tensor) -> Tensor:
    """(k,) int64, ascending: where on a CPU."""
    return torch.from_numpy(np.flatnonzero(flat.numpy() == value.numpy()))


def _at_least(flat: Tensor, threshold: Tensor) -> Tensor:
    """(n,) bool. On a CPU numpy compares, in vectors; torch writes its bools one by one there."""
    if flat.is_cuda:
        return flat >= threshold
    return torch.from_numpy(np.greater_equal(flat.numpy(), threshold.numpy()))


def _kth_largest(flat: Tensor, k: int) -> Tensor:
    """0-dim. Exact; torch's kthvalue is slow on either device, on an H200 it takes 4 times a sort."""
    if flat.is_cuda:
        return flat.sort(descending=True).values[k - 1]
    return torch.tensor(value_at(flat.numpy(), flat.numel() - k))
