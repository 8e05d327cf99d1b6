"""Masked layers: frozen drawn weights under a mask that follows trained scores.

A layer is masked by a parametrization of its `weight` (torch.nn.utils.parametrize): what the layer's
forward sees is the effective weight, what the optimizer sees is the scores.

    edge-popup   effective = weight * mask                       dL/dscore = sign(score) * weight * dL/deff
    Biprop       effective = gain * sign(weight) * mask          the same; the gain gets no gradient
                 gain = mean |weight| over the kept (divisor: the mask's true count)

With signed scores, which rank by the score itself (IteRand), dL/dscore = weight * dL/deff.

The mask passes gradients straight through: every score learns, kept or not (Ramanujan et al. 2020;
Diffenderfer and Kailkhura 2021). The effective weight is formed once per step by `refresh`, not in
the forward pass, so several forwards (or a captured graph) share it.
"""

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.autograd import Function

from recycle_pipeline.models.init_scale import ScoreRule
from recycle_pipeline.models.topk import count_true

SubnetworkKind = Literal["binary", "continuous"]
KINDS: tuple[SubnetworkKind, ...] = get_args(SubnetworkKind)


class _StraightThrough(Function):
    """Forward: the effective weight. Backward, to every score: see the module."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, effective: Tensor, weight: Tensor, rule: ScoreRule) -> Tensor:
        ctx.save_for_backward(scores, weight)
        ctx.signed = rule == "signed"
        return effective.view_as(effective)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        scores, weight = ctx.saved_tensors
        if ctx.signed:
            return weight * gradients[0], None, None, None
        return scores.sign().mul_(weight).mul_(gradients[0]), None, None, None


class MaskedWeight(nn.Module):
    """The parametrization of one layer's weight.

    Args:
        weight: the drawn weight; kept, not copied.
        kind: binary or continuous.
        scores: how the scores rank, which decides their gradient.

    Attributes:
        weight: the drawn weight, layer's shape; changed by `set_weight` alone.
        effective: what the layer computes with, same shape.
        mask: bool, same shape, True = kept; valid after `refresh`.
        gain: 0-dim float32; 1 for continuous subnetworks.
    """

    weight: Tensor
    effective: Tensor
    mask: Tensor
    gain: Tensor
    _signs: Tensor | None

    def __init__(self, weight: Tensor, kind: SubnetworkKind, scores: ScoreRule = "magnitude") -> None:
        super().__init__()
        self.kind = kind
        self.rule = scores
        self.register_buffer("weight", weight)
        self.register_buffer("effective", torch.zeros_like(weight))
        self.register_buffer("mask", torch.zeros_like(weight, dtype=torch.bool))
        self.register_buffer("gain", torch.ones((), device=weight.device))
        # On CUDA a sign is sooner taken than remembered.
        remembered = weight.sign() if kind == "binary" and not weight.is_cuda else None
        self.register_buffer("_signs", remembered, persistent=False)

    def forward(self, scores: Tensor) -> Tensor:
        """Scores of the layer's shape to the effective weight of that shape."""
        effective: Tensor = _StraightThrough.apply(scores, self.effective, self.weight, self.rule)
        return effective

    def set_weight(self, weight: Tensor) -> None:
        """Replaces the drawn weight; takes effect at the next `refresh`."""
        self.weight.copy_(weight)
        if self._signs is not None:
            torch.sign(weight, out=self._signs)

    def _unit(self) -> Tensor:
        """What a kept weight is before the gain: its sign, or itself."""
        if self.kind == "continuous":
            return self.weight
        return self.weight.sign() if self._signs is None else self._signs

    def _count(self, mask: Tensor) -> Tensor:
        """0-dim: kept weights; on CUDA without waiting for them."""
        return mask.count_nonzero() if mask.is_cuda else torch.tensor(count_true(mask), device=mask.device)

    @torch.no_grad()
    def refresh(self, mask: Tensor, correction: float = 1.0) -> None:
        """Takes a new mask and forms gain and effective weight from it, in place.

        Args:
            mask: bool, layer's shape.
            correction: factor on the effective weight alone, 1 once a schedule has reached its end.
        """
        self.mask.copy_(mask)
        # From bytes, not from bool, which torch converts one by one on a CPU.
        self.effective.copy_(mask.view(torch.uint8)).mul_(self._unit())
        if self.kind == "binary":
            kept_magnitude = torch.dot(self.effective.view(-1), self.weight.view(-1))  # sum of |weight|
            # A layer with nothing kept has gain 0, not NaN.
            self.gain.copy_(kept_magnitude / self._count(mask).clamp(min=1))
            self.effective.mul_(self.gain)
        if correction != 1.0:
            self.effective.mul_(correction)
