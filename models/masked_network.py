"""A network under search: a plain network whose layers are masked, seen as one object.

It owns the scores, forms masks from them (per layer or globally), applies reuse events, and hands
over the finished subnetwork. Everything lives on the network's device.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from recycle_pipeline.models.draws import Init, stream_key
from recycle_pipeline.models.draws_torch import draw_picks, draw_weights
from recycle_pipeline.models.init_scale import ScaleFan, init_scale, score_bound
from recycle_pipeline.models.maskable import Maskable, maskable_layers
from recycle_pipeline.models.masked import MaskedWeight, SubnetworkKind
from recycle_pipeline.models.reuse import Provenance, Reused, recycle, rerandomize
from recycle_pipeline.models.subnetwork import MaskedTensor, Scope
from recycle_pipeline.models.topk import kept_count, top_mask, top_masks


@dataclass(frozen=True)
class Recipe:
    """How weights and scores are drawn and masks are formed.

    Attributes:
        seed: of every draw.
        kind: binary (Biprop) or continuous (edge-popup).
        prune: fraction removed.
        init: distribution of the weights.
        scale_fan: which fan their scale uses.
        scope: rank per layer or over all layers.
    """

    seed: int
    kind: SubnetworkKind
    prune: float
    init: Init
    scale_fan: ScaleFan
    scope: Scope


@dataclass(frozen=True)
class ReuseEvent:
    """What one reuse event did, over all layers: positions written, values that changed."""

    written: int
    changed: int


@dataclass
class _Layer:
    name: str
    weight: MaskedWeight
    scores: nn.Parameter
    scale: np.float32
    provenance: Provenance | None = None  # None until the first event: the initial draw


class MaskedNetwork:
    """Masks `network` in place; its other parameters are frozen, biases of masked layers set to 0.

    Args:
        network: a plain network, already on its device.
        recipe: how to draw and mask.
    """

    def __init__(self, network: nn.Module, recipe: Recipe) -> None:
        self.network = network
        self.recipe = recipe
        plain = maskable_layers(network)
        network.requires_grad_(False)
        self._layers = [self._mask_layer(name, layer) for name, layer in plain.items()]
        self.refresh()

    def _mask_layer(self, name: str, layer: Maskable) -> _Layer:
        shape, device, recipe = tuple(layer.weight.shape), layer.weight.device, self.recipe
        scale = init_scale(shape, recipe.init, recipe.scale_fan, recipe.prune)
        weight = draw_weights(stream_key(recipe.seed, name), shape, recipe.init, scale, device)
        score_key = stream_key(recipe.seed, name, purpose="score")
        scores = nn.Parameter(draw_weights(score_key, shape, "kaiming_uniform", score_bound(shape), device))
        if layer.bias is not None:
            layer.bias.zero_()
        masked = MaskedWeight(weight, recipe.kind)
        layer.weight = scores
        parametrize.register_parametrization(layer, "weight", masked)
        return _Layer(name, masked, scores, scale)

    @property
    def scores(self) -> list[nn.Parameter]:
        """The trained parameters, in the network's order."""
        return [layer.scores for layer in self._layers]

    @property
    def size(self) -> int:
        """Number of masked weights."""
        return sum(s.numel() for s in self.scores)

    @torch.no_grad()
    def is_finite(self) -> bool:
        """Whether all scores are finite; a mask ranked by others would keep another number of weights."""
        return all(bool(scores.isfinite().all()) for scores in self.scores)

    @torch.no_grad()
    def refresh(self, prune: float | None = None) -> None:
        """Forms masks from the present scores, and effective weights from the masks.

        Args:
            prune: fraction removed now; the recipe's where None (a schedule may ask for less).
        """
        prune = self.recipe.prune if prune is None else prune
        for layer, mask in zip(self._layers, self._masks(prune), strict=True):
            layer.weight.refresh(mask, self._correction(prune))

    def _correction(self, prune: float) -> float:
        """While a schedule keeps more than the final density, weights scaled for that are too large."""
        if self.recipe.scale_fan != "keep":
            return 1.0
        return math.sqrt((1.0 - self.recipe.prune) / (1.0 - prune))

    def _masks(self, prune: float) -> list[Tensor]:
        magnitudes = [scores.detach().abs() for scores in self.scores]
        if self.recipe.scope == "global":
            return top_masks(magnitudes, kept_count(self.size, prune))
        return [top_mask(m, kept_count(m.numel(), prune)) for m in magnitudes]

    @torch.no_grad()
    def recycle(self, rate: float) -> ReuseEvent:
        """Recycles in every layer. Masks stay until the next `refresh`."""
        return self._apply(
            lambda layer, provenance: recycle(layer.scores, layer.weight.weight, provenance, rate)
        )

    @torch.no_grad()
    def rerandomize(self, rate: float, number: int) -> ReuseEvent:
        """Redraws pruned weights with probability `rate`; `number` counts events from 1."""

        def redraw(layer: _Layer, provenance: Provenance) -> Reused:
            weight, recipe = layer.weight.weight, self.recipe
            key = stream_key(recipe.seed, layer.name, number)
            fresh = draw_weights(key, tuple(weight.shape), recipe.init, layer.scale, weight.device)
            pick_key = stream_key(recipe.seed, layer.name, number, "pick")
            picked = draw_picks(pick_key, tuple(weight.shape), rate, weight.device)
            return rerandomize(weight, layer.weight.mask, provenance, fresh, picked, number)

        return self._apply(redraw)

    def _apply(self, event) -> ReuseEvent:  # type: ignore[no-untyped-def]
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

    def effective(self) -> dict[str, Tensor]:
        """The effective weights by state name of the plain network, on the device; pruned ones are +0."""
        return {f"{layer.name}.weight": layer.weight.effective + 0.0 for layer in self._layers}

    def tensors(self) -> tuple[MaskedTensor, ...]:
        """Masks and provenance of every layer, as numpy; valid after `refresh`."""
        return tuple(self._tensor(layer) for layer in self._layers)

    def _tensor(self, layer: _Layer) -> MaskedTensor:
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
