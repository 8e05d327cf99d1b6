"""Where a state dict has its masks, and what its network computes with: the effective tensors.

Three conventions, told apart by the names of the tensors, and mixed freely:
    prune    torch.nn.utils.prune: `<name>_orig` times `<name>_mask`
    scores   edge-popup and Biprop: `<layer>.weight` and `<layer>.scores`; which of the two, and the fraction
             kept, is in no file and comes from the user
    zeros    weights as they are; a weight of 0 is pruned
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.importing.method import Search

ORIGINAL, MASK, SCORES = "_orig", "_mask", ".scores"


@dataclass(frozen=True)
class Effective:
    """Tensors that a network computes with.

    Attributes:
        tensors: by state name; masks and scores are gone.
        conventions: those that were found, in words.
        tied: scores that equal the lowest kept one but are of pruned weights: another sort may choose others.
    """

    tensors: dict[str, Tensor]
    conventions: tuple[str, ...]
    tied: int = 0


def effective(tensors: Mapping[str, Tensor], search: Search | None) -> Effective:
    """The effective tensors of a state dict in any of the conventions.

    Args:
        tensors: by name.
        search: given exactly where there are scores.

    Raises:
        UsageFault: a mask or a weight without its counterpart, a mask of other values than 0 and 1, scores
            without `search` or the other way round.
    """
    pruned = _unpruned(tensors)
    scored = {name.removesuffix(SCORES) for name in pruned if name.endswith(SCORES)}
    words = ["torch.nn.utils.prune"] if len(pruned) < len(tensors) else []
    if not scored:
        if search is not None:
            raise UsageFault(
                f"--method {search.method} is for a file with scores, and this one has none; leave it out, "
                "and --keep and --scope too: the zeros in the weights are the mask"
            )
        return Effective(pruned, tuple(words or ["zeros"]))
    if search is None:
        raise UsageFault(
            "the file has scores, and does not say how they are used: expected --method edge-popup or "
            "biprop, and --keep or --prune as the search had it (the flag prune_rate of their code is the "
            "part that is kept)"
        )
    weights, tied = _searched({layer: _pair(pruned, layer) for layer in sorted(scored)}, search)
    plain = {name: tensor for name, tensor in pruned.items() if not name.endswith(SCORES)}
    return Effective(plain | weights, (*words, f"{search.method} scores"), tied)


def _unpruned(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """With `<name>` in place of `<name>_orig` and `<name>_mask`, multiplied as torch does."""
    plain = {}
    for name, tensor in tensors.items():
        if name.endswith(MASK) and name.removesuffix(MASK) + ORIGINAL in tensors:
            continue
        if not name.endswith(ORIGINAL):
            plain[name] = tensor
            continue
        base = name.removesuffix(ORIGINAL)
        mask = tensors.get(base + MASK)
        if mask is None or mask.shape != tensor.shape:
            raise UsageFault(f"{name!r} needs {base + MASK!r} of its shape, {tuple(tensor.shape)}, beside it")
        if not bool(((mask == 0) | (mask == 1)).all()):
            raise UsageFault(f"{base + MASK!r} has values besides 0 and 1; expected a mask")
        plain[base] = mask.to(tensor.dtype) * tensor
    return plain


def _pair(tensors: Mapping[str, Tensor], layer: str) -> tuple[Tensor, Tensor]:
    weight, scores = tensors.get(f"{layer}.weight"), tensors[layer + SCORES]
    if weight is None or weight.shape != scores.shape:
        raise UsageFault(
            f"'{layer}{SCORES}' needs '{layer}.weight' of its shape, {tuple(scores.shape)}, beside it"
        )
    if not bool(scores.isfinite().all()):
        raise UsageFault(f"'{layer}{SCORES}' has values that are not finite; they cannot be ranked")
    if weight.dtype != torch.float32:
        raise UsageFault(f"'{layer}.weight' is of {weight.dtype}; expected float32 beside scores")
    return weight, scores.abs()


def _searched(pairs: Mapping[str, tuple[Tensor, Tensor]], search: Search) -> tuple[dict[str, Tensor], int]:
    ranked = {layer: scores for layer, (_, scores) in pairs.items()}
    masks, tied = _global_masks(ranked, search) if search.scope == "global" else _masks(ranked, search)
    with _one_thread():
        weights = {
            f"{layer}.weight": _weight(pairs[layer][0], mask, search, layer) for layer, mask in masks.items()
        }
    return weights, tied


def _masks(ranked: Mapping[str, Tensor], search: Search) -> tuple[dict[str, Tensor], int]:
    """Per layer: the lowest int((1 - keep) * n) are pruned; of equals the first, as torch sorts on CPU."""
    masks, tied = {}, 0
    for layer, scores in ranked.items():
        values, order = scores.flatten().sort(stable=True)
        removed = int((1 - search.keep) * scores.numel())
        mask = torch.ones(scores.numel())
        mask[order[:removed]] = 0
        masks[layer] = mask.view(scores.shape)
        if 0 < removed < scores.numel():
            tied += int((values[:removed] == values[removed]).sum())
    return masks, tied


def _global_masks(ranked: Mapping[str, Tensor], search: Search) -> tuple[dict[str, Tensor], int]:
    """Over all layers: kept is what is above the score of rank int((1 - keep) * n)."""
    values = torch.cat([scores.flatten() for scores in ranked.values()]).sort().values
    removed = int((1 - search.keep) * values.numel())
    threshold = values[removed - 1] if removed else values[0] - 1
    return {layer: (scores > threshold).to(torch.float32) for layer, scores in ranked.items()}, 0


def _weight(weight: Tensor, mask: Tensor, search: Search, layer: str) -> Tensor:
    """Edge-popup: weight * mask. Biprop: sign(weight) * gain * mask, the gain as its forward pass has it.

    That is sum(|weight| * mask) / int(keep * n) per layer, or divided by the mask's count over all layers.
    """
    if search.method == "edge-popup":
        return weight * mask
    kept = int(mask.sum()) if search.scope == "global" else int(search.keep * mask.numel())
    if kept == 0:
        raise UsageFault(f"at --keep {search.keep:g} layer {layer!r} keeps nothing: its gain is not a number")
    return weight.sign() * ((weight.abs() * mask).sum() / kept * mask)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in one order, so that a file gives the same gains on every machine of one kind."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
