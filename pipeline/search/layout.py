"""Where layers lie in one flat tensor, and which of them are small."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK = 1024  # numbers in a row; a layer begins with a row
SMALL = 1 << 16  # weights of a layer that is ranked exactly in every step


@dataclass(frozen=True)
class Place:
    """Where a layer lies: `size` numbers from `start` on, convolutions in channels-last order."""

    shape: tuple[int, ...]
    start: int
    size: int

    def view(self, flat: Tensor) -> Tensor:
        """The layer's part of a flat tensor, of the layer's shape, strided as its convolution wants it."""
        part = flat.view(-1)[self.start : self.start + self.size]
        if len(self.shape) != 4:
            return part.view(self.shape)
        outputs, inputs, height, width = self.shape
        return part.view(outputs, height, width, inputs).permute(0, 3, 1, 2)


class Layout:
    """The places of layers in a flat tensor of (rows, BLOCK); a layer begins with a row.

    Args:
        shapes: of the layers, in the network's order.
        device: of what is laid out.
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]], device: torch.device) -> None:
        self.places: list[Place] = []
        layer_of_row: list[int] = []
        for number, shape in enumerate(shapes):
            size = math.prod(shape)
            self.places.append(Place(shape, len(layer_of_row) * BLOCK, size))
            layer_of_row += [number] * -(-size // BLOCK)
        self.rows = len(layer_of_row)
        padding = torch.zeros(self.rows)
        for place in self.places:
            padding[(place.start + place.size) // BLOCK if place.size % BLOCK else 0] += -place.size % BLOCK
        self.padding_of_row = padding.to(device)
        self.layer_of_row = torch.tensor(layer_of_row, device=device)
        self._padding = [torch.zeros(-p.size % BLOCK, device=device) for p in self.places]

    def joined(self, tensors: Sequence[Tensor]) -> Tensor:
        """Tensors of the layers' shapes as one of (rows, BLOCK); padding is 0."""
        parts: list[Tensor] = []
        for tensor, padding in zip(tensors, self._padding, strict=True):
            ordered = tensor.permute(0, 2, 3, 1) if tensor.dim() == 4 else tensor
            parts += [ordered.reshape(-1), padding.to(tensor.dtype)]
        return torch.cat(parts).view(self.rows, BLOCK)


class SmallLayers:
    """The layers of up to `SMALL` weights, ranked exactly in one sort.

    Args:
        layout: of all layers.
        numbers: of the small ones.
    """

    def __init__(self, layout: Layout, numbers: list[int]) -> None:
        device = layout.layer_of_row.device
        places = [layout.places[number] for number in numbers]
        width = max(place.size for place in places)
        column = torch.arange(width, device=device)
        starts = torch.tensor([place.start for place in places], device=device)[:, None]
        self._beyond = column >= torch.tensor([place.size for place in places], device=device)[:, None]
        self._where = torch.where(self._beyond, starts, starts + column)  # (small, width), into the flat
        self._numbers = torch.tensor(numbers, device=device)

    @staticmethod
    def of(layout: Layout) -> "SmallLayers | None":
        numbers = [n for n, place in enumerate(layout.places) if place.size <= SMALL]
        return SmallLayers(layout, numbers) if numbers else None

    def rank(self, keys: Tensor, wanted: Tensor, threshold: Tensor) -> None:
        """Sets their thresholds, in `threshold`, to the highest key that is not kept."""
        own = keys.view(-1)[self._where].masked_fill(self._beyond, -math.inf)
        ranked = own.sort(dim=1, descending=True).values
        first_out = wanted[self._numbers].long()[:, None]
        last = ranked.shape[1] - 1
        out = ranked.gather(1, first_out.clamp(max=last)).masked_fill(first_out > last, -math.inf)
        threshold.index_copy_(0, self._numbers, out[:, 0])
