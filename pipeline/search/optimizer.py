"""The optimizers that the methods were published with."""

from collections.abc import Iterable

import torch
from torch import nn

from recycle_pipeline.pipeline.search.settings import SearchSettings


def optimizer_of(parameters: Iterable[nn.Parameter], settings: SearchSettings) -> torch.optim.Optimizer:
    """SGD with momentum and weight decay; or Adam, without decay as Biprop's code has it."""
    if settings.optimizer == "adam":
        return torch.optim.Adam(parameters, settings.learning_rate)
    decay = settings.weight_decay
    # Fused: one pass over memory, on CPU as well, where it halves the step.
    return torch.optim.SGD(
        parameters, settings.learning_rate, settings.momentum, weight_decay=decay, fused=True
    )
