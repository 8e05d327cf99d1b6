"""Contexts for a layer that is to be stored, from its counts."""

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket.contexts.context import CLASSES, Context, extents
from recycle_pipeline.exporters.ticket.contexts.fitted import SIGNED_WEIGHTS, Tally, fitted
from recycle_pipeline.models.draws import high_bits_at, stream_key
from recycle_pipeline.models.subnetwork import MaskedTensor

# Where fewer moved, as late in a ResNet, contexts save 0.1 % of the file and cost 10 % of its reading.
LEAST_WORTH = 0.03
Places = NDArray[np.intp]


def mask_context(tensor: MaskedTensor, seed: int, kept: Places) -> Context:
    """For the mask's bits; `kept` are the flat indices of those that are set."""
    size = tensor.size
    all_pairs = np.full((CLASSES, CLASSES), size / CLASSES**2)
    pairs = all_pairs, _pairs(tensor.name, seed, kept)
    axes = [(np.full(len(c), size / len(c)), c) for c in _by_axis(tensor.mask.shape, kept)]
    return fitted(Tally(pairs, tuple(axes)))


def moved_context(tensor: MaskedTensor, seed: int, kept: Places, moved: NDArray[np.bool_]) -> Context:
    """For the bits that say which of the kept weights moved; also by the sign that the seed gives."""
    there = kept[moved]
    pairs = _pairs(tensor.name, seed, kept), _pairs(tensor.name, seed, there)
    shape = tensor.mask.shape
    axes = tuple(zip(_by_axis(shape, kept), _by_axis(shape, there), strict=True))
    return fitted(Tally(pairs, axes), SIGNED_WEIGHTS, LEAST_WORTH)


def _pairs(layer: str, seed: int, places: Places) -> NDArray[np.float64]:
    weight = high_bits_at(stream_key(seed, layer), places) >> np.uint64(56)
    score = high_bits_at(stream_key(seed, layer, purpose="score"), places) >> np.uint64(56)
    both = (weight << np.uint64(8) | score).view(np.int64)
    counts = np.bincount(both, minlength=CLASSES**2)
    return counts.reshape(CLASSES, CLASSES).astype(np.float64)


def _by_axis(shape: tuple[int, ...], places: Places) -> list[NDArray[np.float64]]:
    filters, channels, positions = extents(shape)
    cells, position = np.divmod(places, positions)
    rows, channel = np.divmod(cells, channels)
    counted = ((rows, filters), (channel, channels), (position, positions))
    return [np.bincount(index, minlength=count).astype(np.float64) for index, count in counted]
