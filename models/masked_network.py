"""A network under search: a plain network whose layers are masked, seen as one object.

It owns the scores, forms masks from them (per layer or globally), applies reuse events, and hands
over the finished subnetwork. Everything lives on the network's device.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from recycle_pipeline.models.allocation import prune_rates
from recycle_pipeline.models.draws import stream_key
from recycle_pipeline.models.draws_torch import draw_picks, draw_weights
from recycle_pipeline.models.init_scale import init_scale, score_bound
from recycle_pipeline.models.maskable import Maskable, maskable_layers
from recycle_pipeline.models.masked import MaskedWeight
from recycle_pipeline.models.recipe import Recipe
from recycle_pipeline.models.reuse import Provenance, RecycleFrom, Reused, composed, recycle, rerandomize
from recycle_pipeline.models.subnetwork import MaskedTensor, drawn_values
from recycle_pipeline.models.topk import (
    Scratch,
    layer_minimums,
    ranks,
    top_mask,
    top_masks,
)


@dataclass(frozen=True)
class ReuseEvent:
    """What one reuse event did, over all layers: positions written, values that changed."""

    written: int
    changed: int


@dataclass
class MaskedLayer:
    """One masked layer: `weight` is the parametrization, `scores` what is trained."""

    name: str
    weight: MaskedWeight
    scores: nn.Parameter
    scale: np.float32
    prune: float  # of this layer, if it is ranked alone
    provenance: Provenance | None = None  # None until the first event: the initial draw


class MaskedNetwork:
    """Masks `network` in place; biases of masked layers are set to 0, and they and all other parameters
    frozen, but for the batch norms that the recipe trains.

    Args:
        network: a plain network, already on its device.
        recipe: how to draw and mask.
    """

    def __init__(self, network: nn.Module, recipe: Recipe) -> None:
        self.network = network
        self.recipe = recipe
        self.events = 0  # reuse events so far
        plain = maskable_layers(network)
        network.requires_grad_(False)
        if recipe.batch_norm == "learned":
            for norm in (m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)):
                norm.requires_grad_(True)
        shapes = [tuple(layer.weight.shape) for layer in plain.values()]
        rates = prune_rates(shapes, recipe.prune, recipe.allocation)
        self._layers = [
            self._mask_layer(*named, rate) for named, rate in zip(plain.items(), rates, strict=True)
        ]
        largest = max(scores.numel() for scores in self.scores)
        self._scratch = Scratch(largest, self.scores[0].device)
        self.refresh()

    def _mask_layer(self, name: str, layer: Maskable, prune: float) -> MaskedLayer:
        shape, device, recipe = tuple(layer.weight.shape), layer.weight.device, self.recipe
        scale = init_scale(shape, recipe.init, recipe.scale_fan, prune)
        weight = draw_weights(stream_key(recipe.seed, name), shape, recipe.init, scale, device)
        score_key = stream_key(recipe.seed, name, purpose="score")
        bound = score_bound(shape, recipe.scores)
        scores = nn.Parameter(draw_weights(score_key, shape, "kaiming_uniform", bound, device))
        if layer.bias is not None:
            layer.bias.zero_()
        masked = MaskedWeight(weight, recipe.kind, recipe.scores)
        layer.weight = scores
        parametrize.register_parametrization(layer, "weight", masked)
        return MaskedLayer(name, masked, scores, scale, prune)

    @property
    def layers(self) -> list[MaskedLayer]:
        """In the network's order."""
        return self._layers

    @property
    def scores(self) -> list[nn.Parameter]:
        """The trained parameters, in the network's order."""
        return [layer.scores for layer in self._layers]

    @property
    def others(self) -> list[nn.Parameter]:
        """What is trained besides scores: affine batch norm, where it is learned."""
        scores = {id(parameter) for parameter in self.scores}
        return [p for p in self.network.parameters() if p.requires_grad and id(p) not in scores]

    @property
    def size(self) -> int:
        """Number of masked weights."""
        return sum(s.numel() for s in self.scores)

    @torch.no_grad()
    def not_finite(self) -> str | None:
        """Name of the first tensor that is not finite, of all that training changes; None if there is none.

        A mask ranked by such scores would keep another number of weights; batch-norm statistics can become
        infinite where the loss does not.
        """
        masks = {id(b) for m in self.network.modules() if isinstance(m, MaskedWeight) for b in m.buffers()}
        named = (*self.network.named_parameters(), *self.network.named_buffers())
        found = {
            name: tensor.sum().isfinite()
            for name, tensor in named
            if tensor.is_floating_point() and id(tensor) not in masks
        }
        finite = torch.stack([each.to(self.scores[0].device) for each in found.values()]).tolist()
        return next((name for name, fine in zip(found, finite, strict=True) if not fine), None)

    @torch.no_grad()
    def refresh(self, prune: float | None = None) -> None:
        """Forms masks from the present scores, and effective weights from the masks.

        Args:
            prune: fraction removed now; the recipe's where None (a schedule may ask for less).
        """
        prune = self.recipe.prune if prune is None else prune
        correction = self.correction(prune)
        if self.recipe.scope == "global":
            for layer, mask in zip(self._layers, self._global_masks(prune), strict=True):
                layer.weight.refresh(mask, correction)
            return
        for layer in self._layers:
            ranked = self._scratch.ranks(layer.scores, self.recipe.scores)
            mask = top_mask(ranked, self.kept(layer, prune))
            layer.weight.refresh(mask, correction)

    def kept(self, layer: MaskedLayer, prune: float) -> int:
        """How many weights a layer keeps that is ranked alone.

        Args:
            layer: one of `layers`.
            prune: rate over all layers now; where it is the recipe's, the layer has its own share.
        """
        own = layer.prune if prune == self.recipe.prune else prune
        return self.recipe.kept(layer.scores.numel(), own)

    def correction(self, prune: float) -> float:
        """While a schedule keeps more than the final density, weights scaled for that are too large."""
        if self.recipe.scale_fan != "keep":
            return 1.0
        return math.sqrt((1.0 - self.recipe.prune) / (1.0 - prune))

    def _global_masks(self, prune: float) -> list[Tensor]:
        recipe, sizes = self.recipe, [scores.numel() for scores in self.scores]
        ranked = [ranks(scores.detach(), recipe.scores) for scores in self.scores]
        least = layer_minimums(sizes, prune, recipe.layer_minimum, recipe.rounding)
        return top_masks(ranked, recipe.kept(self.size, prune), least)

    @torch.no_grad()
    def recycle(self, rate: float, source: RecycleFrom = "top") -> ReuseEvent:
        """Recycles in every layer. Masks stay until the next `refresh`."""
        return self._apply(
            lambda layer, provenance: self._recycled(layer, layer.weight.weight, provenance, rate, source)
        )

    @torch.no_grad()
    def rerandomize(self, rate: float, number: int) -> ReuseEvent:
        """Redraws pruned weights with probability `rate`; `number` counts events, 1 to 32767."""
        return self._apply(lambda layer, provenance: self._redrawn(layer, provenance, rate, number))

    @torch.no_grad()
    def hybrid(self, rate: float, number: int, source: RecycleFrom = "top") -> ReuseEvent:
        """Redraws pruned weights with probability `rate` / 2, then recycles `rate` / 2 of every layer."""

        def both(layer: MaskedLayer, provenance: Provenance) -> Reused:
            first = self._redrawn(layer, provenance, rate / 2, number)
            second = self._recycled(layer, first.weights, first.provenance, rate / 2, source)
            return composed(first, second, layer.weight.weight)

        return self._apply(both)

    def _recycled(
        self, layer: MaskedLayer, weights: Tensor, provenance: Provenance, rate: float, source: RecycleFrom
    ) -> Reused:
        return recycle(layer.scores, weights, provenance, rate, source=source, rule=self.recipe.scores)

    def _redrawn(self, layer: MaskedLayer, provenance: Provenance, rate: float, number: int) -> Reused:
        weight, recipe = layer.weight.weight, self.recipe
        key = stream_key(recipe.seed, layer.name, number)
        fresh = draw_weights(key, tuple(weight.shape), recipe.init, layer.scale, weight.device)
        pick_key = stream_key(recipe.seed, layer.name, number, "pick")
        picked = draw_picks(pick_key, tuple(weight.shape), rate, weight.device)
        return rerandomize(weight, layer.weight.mask, provenance, fresh, picked, number)

    def _apply(self, event) -> ReuseEvent:  # type: ignore[no-untyped-def]
        self.events += 1
        written = changed = 0
        for layer in self._layers:
            weight = layer.weight.weight
            provenance = layer.provenance or Provenance.initial(weight.numel(), weight.device)
            result = event(layer, provenance)
            layer.weight.set_weight(result.weights)
            layer.provenance = result.provenance
            written += result.written
            changed += result.changed
        return ReuseEvent(written, changed)

    @torch.no_grad()
    def restore(self, provenance: Mapping[str, Provenance], events: int) -> None:
        """Draws the weights again that `events` events left; they take effect at the next `refresh`.

        Args:
            provenance: of the layers, by name; a layer that is not there keeps its first draw.
            events: how many there were.
        """
        self.events = events
        for layer in self._layers:
            if layer.name not in provenance:
                continue
            layer.provenance = origin = provenance[layer.name]
            draws, sources = origin.draw.cpu().numpy(), origin.source.cpu().numpy()
            values = drawn_values(self.recipe.seed, layer.name, self.recipe.init, layer.scale, draws, sources)
            weight = layer.weight.weight
            layer.weight.set_weight(torch.from_numpy(values).to(weight.device).view(weight.shape))

    def effective(self) -> dict[str, Tensor]:
        """The effective weights by state name of the plain network, on the device; pruned ones are +0."""
        return {f"{layer.name}.weight": layer.weight.effective + 0.0 for layer in self._layers}

    def tensors(self) -> tuple[MaskedTensor, ...]:
        """Masks and provenance of every layer, as numpy; valid after `refresh`."""
        return tuple(self._tensor(layer) for layer in self._layers)

    def _tensor(self, layer: MaskedLayer) -> MaskedTensor:
        recipe, masked = self.recipe, layer.weight
        mask = masked.mask.cpu().numpy().copy()
        gain = np.float32(masked.gain.item()) if recipe.kind == "binary" else None
        tensor = MaskedTensor(layer.name, recipe.init, layer.scale, mask, gain)
        if layer.provenance is None:
            return tensor
        if tensor.sign_only:
            key = stream_key(recipe.seed, layer.name)
            first = draw_weights(key, tuple(mask.shape), recipe.init, layer.scale, masked.weight.device)
            flips = (first.sign() != masked.weight.sign())[masked.mask].cpu().numpy()
            return MaskedTensor(layer.name, recipe.init, layer.scale, mask, gain, flips=flips)
        flat = masked.mask.reshape(-1)
        draws = layer.provenance.draw[flat].cpu().numpy()
        sources = layer.provenance.source[flat].cpu().numpy()
        return MaskedTensor(layer.name, recipe.init, layer.scale, mask, draws=draws, sources=sources)

    def state(self) -> dict[str, "np.ndarray[tuple[int, ...], np.dtype[np.generic]]"]:
        """Every array of the network that is not a masked weight: batch-norm statistics, biases.

        `num_batches_tracked` is left out: inference does not read it.
        """
        entries = self.network.state_dict().items()
        return {
            name: value.cpu().numpy().copy()
            for name, value in entries
            if ".parametrizations." not in name
            and not name.startswith("parametrizations.")
            and not name.endswith("num_batches_tracked")
        }
