"""Folding: the network with mask, gain and batch norm merged into plain weights.

`assemble` already merges mask and gain; `fold_batch_norm` merges every batch norm that follows a
convolution or linear layer directly, by torch's own pattern matcher and arithmetic
(torch.fx.experimental.optimization.fuse). A network that torch.fx cannot trace, or that calls a
layer more than once, keeps its batch norms: folding is never allowed to change the function.
"""

import copy
from collections import Counter
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.optimization import fuse


@dataclass(frozen=True)
class Folded:
    """A folded network.

    Attributes:
        network: eval mode.
        batch_norms: how many batch norms were merged.
        reason: why none were, where the network cannot be traced; else "".
    """

    network: nn.Module
    batch_norms: int
    reason: str = ""


def fold_batch_norm(network: nn.Module) -> Folded:
    """Merges batch norms into the layers before them; `network` (eval mode) is left as it is."""
    before = _batch_norms(network)
    try:
        graph = fx.symbolic_trace(network).graph
    except Exception as error:  # torch.fx raises whatever the network's own code raises on proxies
        return Folded(copy.deepcopy(network), 0, f"torch.fx cannot trace it: {error}")
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    weighted = {name for name, _ in network.named_parameters()} | {
        name for name, _ in network.named_buffers()
    }
    repeated = [
        name for name, count in calls.items() if count > 1 and any(w.startswith(f"{name}.") for w in weighted)
    ]
    if repeated:
        return Folded(copy.deepcopy(network), 0, f"layer {repeated[0]} is called more than once")
    folded = cast(fx.GraphModule, fuse(network).eval())
    folded.delete_all_unused_submodules()
    return Folded(folded, before - _batch_norms(folded))


@torch.no_grad()
def largest_difference(a: nn.Module, b: nn.Module, images: Tensor) -> float:
    """Largest absolute difference of two networks' logits over images (N, C, S, S)."""
    return float((a(images) - b(images)).abs().max())


def _batch_norms(network: nn.Module) -> int:
    return sum(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules())
