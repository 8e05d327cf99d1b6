"""Scores, weights and masks of all layers in one flat array: one optimizer step in a few GPU kernels.

What a step costs beyond the forward and backward passes is memory traffic, and sorting. Here every layer
lies in rows of `BLOCK` numbers, so that the score update, the counts and the next effective weights of
all layers are a few passes over memory, whatever the number of layers.

Masks follow the exact ranking at the beginning and the end of an epoch. Between, layers of up to `SMALL`
weights are ranked exactly too, in one sort: there a single filter has few weights, and one that batch norm
has not seen, kept at the epoch's end, would be scaled by its tiny variance. Larger layers (and global
scope) follow carried thresholds: the update counts the scores above two values close around the last
threshold, and the next is interpolated between. Their counts are off by about a thousandth
(docs/methods.md). What is evaluated, reused and stored has exact masks always.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from recycle_pipeline.models.masked_network import MaskedNetwork
from recycle_pipeline.models.topk import layer_minimums
from recycle_pipeline.pipeline.search.layout import BLOCK, Layout, SmallLayers
from recycle_pipeline.pipeline.search.optimizer import trust
from recycle_pipeline.pipeline.search.settings import Optimizer

# Half the distance of the two counted values, in standard deviations of the ranked scores: small for the
# interpolation to be straight, but with tens of scores between, also where a group has few.
PROBE, PROBE_SCORES = 0.02, 40
REACH = 4.0  # a threshold moves at most that many such distances per step


class FlatScores:
    """The search's state in flat form, and its update.

    Args:
        masked: whose scores and weights these are; `load` and `store` keep the two together.
        optimizer: as in the settings.
        momentum, decay: of SGD and LARS; Adam takes the usual 0.9 and 0.999 and, as published, no decay.
        number: type of the effective weights.
    """

    def __init__(
        self,
        masked: MaskedNetwork,
        optimizer: Optimizer,
        *,
        momentum: float,
        decay: float,
        number: torch.dtype = torch.float32,
    ) -> None:
        self._masked, self._optimizer = masked, optimizer
        self.momentum, self._decay = momentum, decay
        self._binary = masked.recipe.kind == "binary"
        self._signed = masked.recipe.scores == "signed"
        layers = masked.layers
        device = layers[0].scores.device
        self.layout = layout = Layout([tuple(layer.scores.shape) for layer in layers], device)

        def empty(dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(layout.rows, BLOCK, dtype=dtype, device=device)

        self.scores, self.weight, self.velocity = empty(), empty(), empty()
        self.square = empty() if optimizer == "adam" else None
        self.effective = empty(number)
        self.updates = torch.zeros((), device=device)
        groups = 1 if masked.recipe.scope == "global" else len(layers)
        self.threshold, self.probe, self.wanted = (torch.zeros(groups, device=device) for _ in range(3))
        self.gain = torch.zeros(len(layers), device=device)
        self.correction = torch.ones((), device=device)
        numbers = torch.arange(len(layers), device=device)
        self._group_of_layer = torch.zeros_like(numbers) if groups == 1 else numbers
        self._rows_of_layer = (layout.layer_of_row == numbers[:, None]).float()  # (layers, rows)
        # Global scope: no layer's threshold is above the one that leaves it its guaranteed minimum.
        self.ceiling = torch.full((len(layers),), math.inf, device=device)
        self._small = None if groups == 1 else SmallLayers.of(layout)

    def views(self) -> list[Tensor]:
        """The effective weights of the layers in place."""
        return [place.view(self.effective) for place in self.layout.places]

    def reset(self) -> None:
        """Forgets past steps; `load` brings scores and weights."""
        for past in (self.velocity, self.updates, *([] if self.square is None else [self.square])):
            past.zero_()

    @torch.no_grad()
    def load(self, prune: float) -> None:
        """Takes scores, weights and exact masks from the masked network.

        Args:
            prune: rate that its masks were just refreshed with.
        """
        layers, recipe = self._masked.layers, self._masked.recipe
        self.scores.copy_(self.layout.joined([layer.scores.detach() for layer in layers]))
        self.weight.copy_(self.layout.joined([layer.weight.weight for layer in layers]))
        self.load_effective()
        self.gain.copy_(torch.stack([layer.weight.gain for layer in layers]))
        self.correction.fill_(self._masked.correction(prune))
        keys = [self._keys(layer.scores.detach()).reshape(-1) for layer in layers]
        if len(self.threshold) == 1:
            self._load_ceilings(keys, prune)
            self._load_threshold(0, torch.cat(keys), recipe.kept(self._masked.size, prune))
        else:
            for number, (layer, part) in enumerate(zip(layers, keys, strict=True)):
                self._load_threshold(number, part, self._masked.kept(layer, prune))

    def _load_threshold(self, group: int, keys: Tensor, kept: int) -> None:
        """The exact threshold of a group's scores: what is kept lies above it."""
        ranked = keys.sort(descending=True).values
        self.threshold[group] = ranked[kept] if kept < len(ranked) else -math.inf
        self.probe[group] = max(PROBE, PROBE_SCORES / len(keys)) * keys.std()
        self.wanted[group] = kept

    def _load_ceilings(self, keys: Sequence[Tensor], prune: float) -> None:
        recipe = self._masked.recipe
        sizes = [part.numel() for part in keys]
        least = layer_minimums(sizes, prune, recipe.layer_minimum, recipe.rounding)
        for number, (part, count) in enumerate(zip(keys, least, strict=True)):
            if 0 < count < len(part):
                self.ceiling[number] = part.sort(descending=True).values[count]

    @torch.no_grad()
    def load_effective(self) -> None:
        """Takes the exact effective weights alone, for an evaluation."""
        effective = [layer.weight.effective for layer in self._masked.layers]
        self.effective.copy_(self.layout.joined(effective))

    @torch.no_grad()
    def store(self) -> None:
        """Hands the scores to the masked network, whose masks are then out of date."""
        for layer, place in zip(self._masked.layers, self.layout.places, strict=True):
            layer.scores.copy_(place.view(self.scores))

    @torch.no_grad()
    def update(self, gradients: Sequence[Tensor] | Tensor, rate: Tensor) -> None:
        """One optimizer step from the gradients of the effective weights; then thresholds and weights.

        Args:
            gradients: of the layers' shapes, or `layout.joined` of them.
            rate: 0-dim, the learning rate.
        """
        joined = gradients if isinstance(gradients, Tensor) else self.layout.joined(gradients)
        gradient = joined.float()
        if not self._signed:
            gradient = gradient * self.scores.sign()
        gradient = gradient * self.weight
        self._descend(gradient, rate)
        keys = self._keys(self.scores)
        self._move_thresholds(keys)
        threshold = torch.minimum(self.threshold[self._group_of_layer], self.ceiling)
        kept = keys > self._by_row(threshold)
        unit = self.weight
        if self._binary:
            unit = self.weight.sign()
            sums = torch.stack([(kept * self.weight.abs()).sum(1), self._count(keys, threshold)], 1)
            magnitude, count = (self._rows_of_layer @ sums).unbind(1)
            self.gain.copy_(magnitude / count.clamp(min=1))
        self.effective.copy_(torch.where(kept, unit * self._by_row(self.gain * self.correction), 0.0))

    def _by_row(self, values: Tensor) -> Tensor:
        """A value per layer, (layers,), as one per row, (rows, 1)."""
        return values[self.layout.layer_of_row][:, None]

    def _count(self, keys: Tensor, above: Tensor) -> Tensor:
        """(rows,): keys of weights above their layer's value; padding is 0 and no weight."""
        value = self._by_row(above)
        return (keys > value).float().sum(1) - self.layout.padding_of_row * (value[:, 0] < 0)

    def _descend(self, gradient: Tensor, rate: Tensor) -> None:
        if self.square is not None:
            self.updates.add_(1)
            self.velocity.lerp_(gradient, 1 - 0.9)
            self.square.lerp_(gradient * gradient, 1 - 0.999)
            unbiased = self.velocity / (1 - 0.9**self.updates)
            spread = (self.square / (1 - 0.999**self.updates)).sqrt() + 1e-8
            self.scores.sub_(rate * unbiased / spread)
            return
        gradient = gradient + self._decay * self.scores
        if self._optimizer == "lars":
            squares = torch.stack([(x * x).sum(1) for x in (self.scores, gradient)], 1)
            ratio = trust(*(self._rows_of_layer @ squares).sqrt().unbind(1))
            self.velocity.mul_(self.momentum).add_(gradient * self._by_row(ratio * rate))
            self.scores.sub_(self.velocity)
        else:
            self.velocity.mul_(self.momentum).add_(gradient)
            self.scores.sub_(rate * self.velocity)

    def _move_thresholds(self, keys: Tensor) -> None:
        """Linear between two counts, limited for counts that are far off or equal; exact for small layers."""
        low, high = ((self.threshold + side * self.probe)[self._group_of_layer] for side in (-1, 1))
        sums = torch.stack([self._count(keys, low), self._count(keys, high)], 1)
        counts = self._rows_of_layer @ sums  # (layers, 2)
        if len(self.threshold) == 1:
            counts = counts.sum(0, keepdim=True)
        above_low, above_high = counts.unbind(1)
        width = 2 * self.probe
        moved = (above_low - self.wanted) / (above_low - above_high).clamp(min=1) * width - self.probe
        self.threshold.add_(torch.maximum(torch.minimum(moved, REACH * width), -REACH * width))
        if self._small is not None:
            self._small.rank(keys, self.wanted, self.threshold)

    def _keys(self, scores: Tensor) -> Tensor:
        """What is ranked."""
        return scores if self._signed else scores.abs()
