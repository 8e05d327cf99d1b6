"""Reusing weights during the search, as pure functions of scores, weights and provenance.

recycle        copies the weights of the highest scores to the positions of the lowest
               (Iterative Weight Recycling, Gorbett and Whitley 2023)
rerandomize    gives pruned weights a new draw with some probability
               (IteRand, Chijiwa et al. 2021)
hybrid         half of each, rerandomize before recycle (an option of weight recycling's published code)

Neither touches scores or momentum. Both keep `Provenance`: which draw and which index of that draw
each weight now holds, so that the final weights follow from the seed.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from recycle_pipeline.models.init_scale import ScoreRule
from recycle_pipeline.models.order import places
from recycle_pipeline.models.topk import ranks

RecycleFrom = Literal["top", "next-lowest"]
RECYCLE_FROM: tuple[RecycleFrom, ...] = get_args(RecycleFrom)


@dataclass(frozen=True)
class Provenance:
    """Where each weight's value came from.

    Attributes:
        draw: (n,) int16, draw number; 0 is the initial draw.
        source: (n,) int32, flat index within that draw.
    """

    draw: Tensor
    source: Tensor

    @staticmethod
    def initial(size: int, device: torch.device) -> "Provenance":
        """Every weight from its own index of draw 0."""
        return Provenance(
            torch.zeros(size, dtype=torch.int16, device=device),
            torch.arange(size, dtype=torch.int32, device=device),
        )


@dataclass(frozen=True)
class Reused:
    """Result of one event on one layer.

    Attributes:
        weights: the new weights, shape as given.
        provenance: theirs.
        written: how many positions were written.
        changed: how many now hold another value than before.
    """

    weights: Tensor
    provenance: Provenance
    written: int
    changed: int


def recycle(
    scores: Tensor,
    weights: Tensor,
    provenance: Provenance,
    rate: float,
    *,
    source: RecycleFrom = "top",
    rule: ScoreRule = "magnitude",
) -> Reused:
    """Copies the top `rate` of weights over the bottom `rate`.

    With k = int(rate * n) and positions in ascending order of rank (ties by index), position j of the
    bottom takes the weight at position n - k + j: the lowest of all takes the lowest of the top block.
    Sources keep their values. This is the published alignment. The published ablation, `next-lowest`,
    takes the weight at position k + j.

    Args:
        scores: layer's shape.
        weights: same shape.
        provenance: of n = weights.numel() entries.
        rate: 0 < rate <= 0.5, so that sources and targets never overlap.
        source: which block is copied.
        rule: how the scores rank; the published one is magnitude.
    """
    count = scores.numel()
    k = int(rate * count)
    ranked = ranks(scores.detach().reshape(-1), rule)
    first = count - k if source == "top" else k
    targets, sources = places(ranked, (0, k), (first, first + k))
    flat = weights.reshape(-1).clone()
    draw, origin = provenance.draw.clone(), provenance.source.clone()
    before = flat[targets]
    flat[targets] = flat[sources]
    draw[targets] = draw[sources]
    origin[targets] = origin[sources]
    changed = int((flat[targets] != before).sum())
    return Reused(flat.reshape(weights.shape), Provenance(draw, origin), k, changed)


def rerandomize(
    weights: Tensor, mask: Tensor, provenance: Provenance, fresh: Tensor, picked: Tensor, draw: int
) -> Reused:
    """Redraws the pruned weights that were picked; kept weights stay.

    Args:
        weights: layer's shape.
        mask: same shape, True = kept.
        provenance: of n = weights.numel() entries.
        fresh: same shape, draw number `draw` of this layer.
        picked: same shape, bool, independent choices with the event's probability.
        draw: 1 to 32767, the event's number.
    """
    written = picked & ~mask
    flat = written.reshape(-1)
    own = torch.arange(flat.numel(), dtype=torch.int32, device=flat.device)
    new = torch.where(written, fresh, weights)
    moved = Provenance(
        torch.where(flat, torch.full_like(provenance.draw, draw), provenance.draw),
        torch.where(flat, own, provenance.source),
    )
    return Reused(new, moved, int(written.sum()), int((new != weights).sum()))


def composed(first: Reused, second: Reused, before: Tensor) -> Reused:
    """Two events on one layer as one: `second` was made from the weights and provenance of `first`.

    Args:
        first, second: the events.
        before: the weights that `first` was made from.

    Returns:
        The state after both. A position that both wrote counts twice as written, and as changed only if
        it holds another value than `before`.
    """
    changed = int((second.weights != before).sum())
    return Reused(second.weights, second.provenance, first.written + second.written, changed)
