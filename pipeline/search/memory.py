"""What an optimizer remembers from step to step, by name: the same names whichever engine trains.

KEY.W, with torch's keys (momentum_buffer; exp_avg, exp_avg_sq, step) and W as in `checkpoint`.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from recycle_pipeline.models.errors import CorruptArtefact
from recycle_pipeline.models.masked_network import MaskedNetwork
from recycle_pipeline.pipeline.search.flat import FlatScores

Memory = dict[str, Tensor]
KEYS = ("momentum_buffer", "exp_avg", "exp_avg_sq", "step")
CARRIED = ("threshold", "probe", "ceiling")  # of FlatScores


def score_names(masked: MaskedNetwork) -> dict[str, nn.Parameter]:
    """The scores, by the names of their weights."""
    return {f"{layer.name}.weight": layer.scores for layer in masked.layers}


def other_names(masked: MaskedNetwork) -> dict[str, nn.Parameter]:
    """What is trained besides, by name."""
    others = {id(parameter) for parameter in masked.others}
    return {name: p for name, p in masked.network.named_parameters() if id(p) in others}


def memory_of(optimizer: torch.optim.Optimizer | None, named: Mapping[str, nn.Parameter]) -> Memory:
    """An optimizer's memory of these parameters; a part of it where it has not met them all."""
    if optimizer is None:
        return {}
    return {
        f"{key}.{name}": value
        for name, parameter in named.items()
        for key, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


@torch.no_grad()
def remind(
    optimizer: torch.optim.Optimizer | None, named: Mapping[str, nn.Parameter], memory: Mapping[str, Tensor]
) -> None:
    """Gives an optimizer the memory back; in place where it has one, whose address a graph may hold."""
    if optimizer is None:
        return
    for name, parameter in named.items():
        for key in KEYS:
            if (value := memory.get(f"{key}.{name}")) is None:
                continue
            state = optimizer.state[parameter]
            if isinstance(state.get(key), Tensor):
                state[key].copy_(value)
            else:  # torch counts steps on the CPU
                state[key] = value.clone() if key == "step" else value.to(parameter.device, copy=True)


def flat_memory(flat: FlatScores, names: list[str]) -> Memory:
    """The same of the flat scores, in the layers' shapes.

    Args:
        flat: the scores.
        names: of the layers' weights, in order.
    """
    memory = {
        f"{key}.{name}": place.view(past)
        for key, past in _past(flat).items()
        for name, place in zip(names, flat.layout.places, strict=True)
    }
    if flat.square is not None:
        memory |= {f"step.{name}": flat.updates for name in names}
    return memory


@torch.no_grad()
def remind_flat(flat: FlatScores, names: list[str], memory: Mapping[str, Tensor]) -> None:
    """Gives the flat scores their memory back."""
    for key, past in _past(flat).items():
        for name, place in zip(names, flat.layout.places, strict=True):
            if (value := memory.get(f"{key}.{name}")) is not None:
                place.view(past).copy_(value)
    if (updates := memory.get(f"step.{names[0]}")) is not None:
        flat.updates.copy_(updates)


def _past(flat: FlatScores) -> dict[str, Tensor]:
    if flat.square is not None:
        return {"exp_avg": flat.velocity, "exp_avg_sq": flat.square}
    return {"momentum_buffer": flat.velocity} if flat.momentum else {}


def carried_by(flat: FlatScores) -> Memory:
    """What the flat scores carry from epoch to epoch besides."""
    return {name: getattr(flat, name) for name in CARRIED}


def check_memory(memory: Mapping[str, Tensor], masked: MaskedNetwork) -> None:
    """Raises CorruptArtefact unless all of it is of this network's trained parameters."""
    named = score_names(masked) | other_names(masked)
    for name, value in memory.items():
        key, _, parameter = name.partition(".")
        if key not in KEYS or parameter not in named:
            raise CorruptArtefact(f"holds an unknown memory.{name}")
        wanted = () if key == "step" else named[parameter].shape
        if value.shape != wanted:
            raise CorruptArtefact(f"holds memory.{name} of shape {tuple(value.shape)}, not {tuple(wanted)}")
