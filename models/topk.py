"""Which weights are kept: the top by score magnitude, with exact counts and ties broken by index."""

import torch
from torch import Tensor


def kept_count(size: int, prune: float) -> int:
    """How many of `size` weights stay at this prune rate.

    The rounding is the published one of edge-popup, Biprop and weight recycling: with density k the
    number removed is int((1 - k) * size) in float64, truncated. At least one weight stays.
    """
    density = 1.0 - prune
    return size - int((1.0 - density) * size)


def top_mask(magnitudes: Tensor, kept: int) -> Tensor:
    """The mask that keeps the `kept` largest magnitudes; of equal ones, those of lower index.

    Args:
        magnitudes: any shape, non-negative floats.
        kept: 1 to the number of elements.

    Returns:
        bool, shape of `magnitudes`, exactly `kept` of them True.
    """
    flat = magnitudes.reshape(-1)
    threshold = _kth_largest(flat, kept)
    above = flat > threshold
    tied = flat == threshold
    # Of the tied ones the first `kept - above` by index; no branch, so that a GPU need not wait.
    wanted = kept - above.sum()
    mask = above | (tied & (tied.cumsum(0) <= wanted))
    return mask.reshape(magnitudes.shape)


def top_masks(magnitudes: list[Tensor], kept: int) -> list[Tensor]:
    """One ranking over several layers (global scope); ties go to the earlier layer, then index."""
    flat = torch.cat([m.reshape(-1) for m in magnitudes])
    parts = top_mask(flat, kept).split([m.numel() for m in magnitudes])
    return [part.reshape(m.shape) for part, m in zip(parts, magnitudes, strict=True)]


def _kth_largest(flat: Tensor, k: int) -> Tensor:
    """0-dim. On CUDA a sort: kthvalue is several times slower there (measured on an H200)."""
    if flat.is_cuda:
        return flat.sort(descending=True).values[k - 1]
    return flat.kthvalue(flat.numel() - k + 1).values
