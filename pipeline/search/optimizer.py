"""The optimizers that the methods were published with, and LARS."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from recycle_pipeline.pipeline.search.settings import SearchSettings


def optimizer_of(parameters: Iterable[nn.Parameter], settings: SearchSettings) -> torch.optim.Optimizer:
    """SGD or LARS with momentum and weight decay; or Adam, without decay as Biprop's code has it."""
    if settings.optimizer == "adam":
        return torch.optim.Adam(parameters, settings.learning_rate)
    decay = settings.weight_decay
    if settings.optimizer == "lars":
        return Lars(parameters, settings.learning_rate, settings.momentum, decay)
    # Fused: one pass over memory, on CPU as well, where it halves the step.
    return torch.optim.SGD(
        parameters, settings.learning_rate, settings.momentum, weight_decay=decay, fused=True
    )


class Lars(torch.optim.Optimizer):
    """Layer-wise adaptive rates (You, Gitman and Ginsburg 2017) with a trust coefficient of 1.

    A step is `lr` times as long as the parameter, whatever the gradient's length; momentum sums such steps.
    Masks depend on the order of a layer's scores alone, so that every layer changes its mask at one pace.
    Parameters of one dimension, as batch norm's, take plain steps, as is usual.

    Args:
        parameters: to train.
        lr, momentum, decay: as SGD's.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, momentum: float, decay: float) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step from the parameters' gradients."""
        for group in self.param_groups:
            for parameter in (p for p in group["params"] if p.grad is not None):
                gradient = parameter.grad + group["weight_decay"] * parameter
                if parameter.dim() > 1:
                    squares = [(x * x).sum() for x in (parameter, gradient)]
                    gradient = gradient * trust(*squares)
                move = gradient * group["lr"]
                if group["momentum"]:
                    state = self.state[parameter]
                    if "momentum_buffer" not in state:
                        state["momentum_buffer"] = torch.zeros_like(parameter)
                    move = state["momentum_buffer"].mul_(group["momentum"]).add_(move)
                parameter.sub_(move)


def trust(parameter_square: Tensor, gradient_square: Tensor) -> Tensor:
    """How much longer the parameter is than its gradient, from their squared lengths; 1 where one is 0."""
    ratio = (parameter_square / gradient_square).sqrt()
    return torch.where((parameter_square > 0) & (gradient_square > 0), ratio, 1.0)
