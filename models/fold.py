"""Folding: the network with mask, gain and batch norm merged into plain weights.

`assemble` already merges mask and gain; `fold_batch_norm` merges every batch norm that follows a
convolution or linear layer directly, by torch's own pattern matcher and arithmetic
(torch.fx.experimental.optimization.fuse). One behind a max-pool goes before it first, where no gamma is
below 0: the largest of a window stays the largest. Folding is never allowed to change the function: its
result is compared on images, and a network that cannot be folded safely keeps its batch norms.
"""

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.optimization import fuse

from recycle_pipeline.models.traced_sources import sources_let_go

# Folding multiplies weights once more and reorders float32 sums: 6e-6 on logits of order 10. Half of
# what the default parity gate allows.
TOLERANCE = 5e-5


@dataclass(frozen=True)
class Folded:
    """A folded network.

    Attributes:
        network: eval mode.
        plain: the network as it was given, with the modules of its own code: tracing writes out the others.
        batch_norms: how many batch norms were merged.
        difference: largest difference of logits to the network before, on the images given.
        reason: why none were merged, where folding would not have been safe; else "".
    """

    network: nn.Module
    plain: nn.Module
    batch_norms: int
    difference: float
    reason: str = ""


@sources_let_go()
def fold_batch_norm(
    network: nn.Module,
    images: Sequence[Tensor],
    min_agreement: float = 1.0,
    tolerance: float = TOLERANCE,
) -> Folded:
    """Merges batch norms into the layers before them; `network` (eval mode) is left as it is.

    Args:
        network: eval mode, on CPU.
        images: batches of images, real ones where there are, (N, C, S, S) each, to compare on.
        min_agreement: fraction of the images whose logits must stay within `tolerance`. Below 1 for
            networks of signs, where rounding may flip one.
        tolerance: largest difference of a logit.
    """
    try:
        graph = fx.symbolic_trace(network).graph
        if reason := _unsafe(graph, network):
            return _unfolded(network, reason)
        folded = cast(fx.GraphModule, fuse(_before_pools(_with_affine(network))).eval())
        folded.delete_all_unused_submodules()
        differences = torch.cat([_differences(network, folded, batch) for batch in images])  # (N,)
    except Exception as error:  # tracing raises whatever the network's own code raises on proxies
        return _unfolded(network, f"torch.fx cannot fold it: {error}")
    difference = float(differences.max())
    if not float((differences <= tolerance).double().mean()) >= min_agreement:
        return _unfolded(network, f"it would change logits by {difference:.3g}")
    return Folded(folded, network, _batch_norms(network) - _batch_norms(folded), difference)


def largest_difference(a: nn.Module, b: nn.Module, images: Tensor) -> float:
    """Largest absolute difference of two networks' logits over images (N, C, S, S)."""
    return float(_differences(a, b, images).max())


@torch.no_grad()
def _differences(a: nn.Module, b: nn.Module, images: Tensor) -> Tensor:
    """The same for each image: (N,)."""
    difference: Tensor = a(images) - b(images)
    return difference.abs().flatten(1).amax(1)


def _unfolded(network: nn.Module, reason: str) -> Folded:
    return Folded(copy.deepcopy(network), network, 0, 0.0, reason)


def _unsafe(graph: fx.Graph, network: nn.Module) -> str:
    """Why torch's matcher may not be used, which looks at pairs of calls alone; "" if it may."""
    calls = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
    weighted = [name for name, _ in (*network.named_parameters(), *network.named_buffers())]
    for name, count in calls.items():
        if count > 1 and any(weight.startswith(f"{name}.") for weight in weighted):
            return f"layer {name} is called more than once"
    for node in graph.nodes:
        if node.op == "get_attr" and any(str(node.target).startswith(f"{name}.") for name in calls):
            return f"{node.target} is also read past its layer"
    return ""


def _before_pools(network: nn.Module) -> fx.GraphModule:
    """The network with conv -> max-pool -> batch norm in the order conv -> batch norm -> max-pool."""
    traced = fx.symbolic_trace(network)
    modules = dict(traced.named_modules())
    for norm in list(traced.graph.nodes):
        pool = _called_on(norm, nn.BatchNorm2d, modules)
        conv = _called_on(pool, nn.MaxPool2d, modules)
        if pool is None or conv is None or _called_on(conv, nn.Conv2d, modules) is None:
            continue
        alone, module = len(pool.users) == len(conv.users) == 1, cast(nn.BatchNorm2d, modules[norm.target])
        if alone and module.track_running_stats and bool((module.weight >= 0).all()):
            norm.replace_all_uses_with(pool)
            norm.args, pool.args = (conv,), (norm,)
            conv.append(norm)
    traced.recompile()
    return traced


def _called_on(node: fx.Node | None, kind: type[nn.Module], modules: dict[str, nn.Module]) -> fx.Node | None:
    """What a module of this very kind is called on; None where the node calls something else."""
    if node is None or node.op != "call_module" or type(modules[str(node.target)]) is not kind:
        return None
    given = node.args[0] if node.args else None
    return given if isinstance(given, fx.Node) else None


def _with_affine(network: nn.Module) -> nn.Module:
    """A copy whose batch norms have gamma 1 and beta 0 written out: fusing a linear layer needs them."""
    network = copy.deepcopy(network)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and not module.affine:
            module.affine = True
            module.weight = nn.Parameter(torch.ones(module.num_features), requires_grad=False)
            module.bias = nn.Parameter(torch.zeros(module.num_features), requires_grad=False)
    return network


def _batch_norms(network: nn.Module) -> int:
    return sum(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules())
