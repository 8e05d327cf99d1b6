"""The layers that options choose: activations and batch norms."""

from typing import Any

from torch import Tensor, nn
from torch.autograd import Function

from recycle_pipeline.models.options import ArchOptions


class _Sign(Function):
    """Forward sign(x). Backward 2 * (1 - |x|) where |x| <= 1, else 0 (Liu et al. 2018, Bi-Real Net)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.sign()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        slope: Tensor = x.abs().neg_().add_(1).clamp_(min=0).mul_(2)
        return slope.mul_(gradients[0])


class BinaryActivation(nn.Module):
    """The sign of its input, any shape, with sign(0) = 0 as published (Diffenderfer and Kailkhura 2021).

    In eval mode it is torch's own sign, which traces and exports as the one operator that it is; there no
    gradient passes.
    """

    def forward(self, x: Tensor) -> Tensor:
        signs: Tensor = _Sign.apply(x) if self.training else x.sign()
        return signs


def activation(options: ArchOptions) -> nn.Module:
    """ReLU, or the sign."""
    return BinaryActivation() if options.binary else nn.ReLU()


def batch_norm(channels: int, options: ArchOptions) -> nn.BatchNorm2d:
    """For (N, channels, H, W); without gamma and beta unless learned. Statistics depend on data."""
    return nn.BatchNorm2d(channels, affine=options.affine)


def batch_norm_1d(features: int, options: ArchOptions) -> nn.BatchNorm1d:
    """The same for (N, features)."""
    return nn.BatchNorm1d(features, affine=options.affine)
