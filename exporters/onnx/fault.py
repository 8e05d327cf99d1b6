"""Which layer of a network torch cannot export, once it is known that it cannot export the whole."""

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def layer_at_fault(network: nn.Module, example: Tensor, export: Callable[[nn.Module, Any], object]) -> str:
    """The innermost module that cannot be exported by itself: " at layer 'name' (Class)", or "".

    Takes as long as an export of each kind of layer.

    Args:
        network: in eval mode.
        example: a batch that it takes.
        export: tries to export a module, given what it is called with; raises where that fails.
    """
    calls = _calls(network, example)
    inner = sorted((name for name in calls if name), key=lambda name: -name.count("."))
    modules, tried = dict(network.named_modules()), set[str]()
    for name in inner:
        module = modules[name]
        if (kind := f"{module!r}") in tried:
            continue
        tried.add(kind)
        try:
            export(module, calls[name])
        except Exception:  # the exporter has no single error class
            return f" at layer {name!r} ({type(module).__name__})"
    return ""


def _calls(network: nn.Module, example: Tensor) -> dict[str, tuple[Tensor, ...]]:
    """What each module is called with that takes nothing but tensors, by name."""
    calls: dict[str, tuple[Tensor, ...]] = {}

    def note(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(module: nn.Module, given: tuple[Any, ...]) -> None:
            if given and all(isinstance(each, Tensor) for each in given):
                calls[name] = given

        return hook

    hooks = [module.register_forward_pre_hook(note(name)) for name, module in network.named_modules()]
    # Where the network does not run either, what was called until then may say why.
    with contextlib.suppress(Exception), torch.inference_mode(False), torch.no_grad():
        network(example)
    for hook in hooks:
        hook.remove()
    return calls
