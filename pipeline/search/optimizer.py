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


class Lars(torch.optim.SGD):
    """Layer-wise adaptive rates (You, Gitman and Ginsburg 2017) with a trust coefficient of 1.

    A step is `lr` times as long as the parameter, whatever the gradient's length; momentum sums such steps.
    Masks depend on the order of a layer's scores alone, so that every layer changes its mask at one pace.
    Parameters of one dimension, as batch norm's, take plain steps, as is usual.

    Args:
        parameters: to train; `step` changes their gradients.
        lr, momentum, decay: as SGD's.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, momentum: float, decay: float) -> None:
        super().__init__(parameters, lr, momentum, fused=True)
        self._decay = decay

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step from the parameters' gradients."""
        rates = [group["lr"] for group in self.param_groups]
        for group, rate in zip(self.param_groups, rates, strict=True):
            for parameter in (p for p in group["params"] if p.grad is not None):
                gradient = parameter.grad
                if self._decay:
                    gradient.add_(parameter, alpha=self._decay)
                longer: Tensor | float = 1.0
                if parameter.dim() > 1:
                    longer = trust(*(torch.linalg.vector_norm(x) for x in (parameter, gradient)))
                gradient.mul_(rate * longer)
            group["lr"] = 1.0  # what is summed are steps, rate and all
        super().step()  # in one pass over memory
        for group, rate in zip(self.param_groups, rates, strict=True):
            group["lr"] = rate


def trust(parameter: Tensor, gradient: Tensor) -> Tensor:
    """How much longer a parameter is than its gradient, from their lengths; 1 where one is 0."""
    return torch.where((parameter > 0) & (gradient > 0), parameter / gradient, 1.0)
