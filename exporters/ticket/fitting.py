"""Contexts for a layer that is to be stored, from its counts."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket.columns import Column, StagedBits, bits_in_stages, columns_of
from recycle_pipeline.exporters.ticket.contexts.context import CLASSES, Context, extents
from recycle_pipeline.exporters.ticket.contexts.fitted import SIGNED_WEIGHTS, Tally, fitted
from recycle_pipeline.exporters.ticket.contexts.neighbours import (
    MOST_POSITIONS,
    NEARS,
    SUMS,
    ByNeighbours,
    extents_in_stages,
)
from recycle_pipeline.exporters.ticket.contexts.refitted import ByCode, Residuals, in_fine_steps
from recycle_pipeline.exporters.ticket.contexts.staged import StagedContext, Stages
from recycle_pipeline.models.draws import high_bits_at, stream_key
from recycle_pipeline.models.subnetwork import MaskedTensor

# Where fewer moved, as late in a ResNet, contexts save 0.1 % of the file and cost 10 % of its reading.
LEAST_WORTH = 0.03
# Of a layer's bits. Less takes next to nothing off a file, and some of its reading.
LEAST_GAIN = 0.001
LEAST_KERNELS = 256  # that neighbours are worth looking at
ENOUGH = 1 << 15  # kept weights for 32 levels
Places = NDArray[np.intp]
Bits = NDArray[np.bool_]
Both = tuple[StagedContext, StagedContext | None]  # of a mask, and of what moved
NO_LEVELS = ByNeighbours(np.zeros(NEARS, np.int8), np.zeros(SUMS, np.int8))


def contexts_for(
    tensor: MaskedTensor, seed: int, kept: Places, moved: Bits | None, most: int
) -> tuple[Both, Iterator[StagedBits]]:
    """For the mask's bits, and for those that say which of the kept weights moved; and these bits.

    Args:
        tensor, seed: the layer.
        kept: flat indices of the kept weights.
        moved: (kept,), None if none did.
        most: kernel positions that may be decoded in turn.
    """
    filters, channels, positions = extents(tensor.mask.shape)
    staged = 2 <= positions <= min(most, MOST_POSITIONS) and filters * channels >= LEAST_KERNELS
    staged = staged and 0 < len(kept) < tensor.size
    found = [StagedContext(in_fine_steps(each)) for each in plain_contexts(tensor, seed, kept, moved, staged)]
    columns = list(columns_of(tensor, positions if staged else 1, kept, moved))
    if not staged:
        return _both(found), bits_in_stages(columns, _stages(tensor, seed, found))
    # What filters and channels say of moves, neighbours say as well.
    found[1:] = [StagedContext(replace(each.plain, filters=None, channels=None)) for each in found[1:]]
    found = _with_neighbours(tensor, seed, found, columns)
    stages = _stages(tensor, seed, found, remembers=True)
    found = _refitted(stages, found, columns)
    return _both(found), bits_in_stages(columns, stages.again(*_both(found)))


def _with_neighbours(
    tensor: MaskedTensor, seed: int, contexts: list[StagedContext], columns: Sequence[Column]
) -> list[StagedContext]:
    """The contexts with neighbours' levels, from as many of the first filters as say enough of them."""
    filters = tensor.mask.shape[0]
    count = min(filters, -(-filters * ENOUGH // tensor.kept))
    first, kernels = replace(tensor, mask=tensor.mask[:count]), count * tensor.mask.shape[1]
    trial = []
    for each in contexts:
        own = each.plain.filters
        plain = replace(each.plain, filters=None if own is None else own[:count])
        trial.append(StagedContext(plain, NO_LEVELS))
    counted = [ByCode() for _ in contexts]
    some = [column.first(kernels) for column in columns]
    for which, _, stage, bits, _ in bits_in_stages(some, _stages(first, seed, trial)):
        for run in stage.coded:
            counted[which].add(run, bits[run.kernels])
    found = [counts.neighbours() for counts in counted]
    found[0] = found[0] or NO_LEVELS
    return [replace(each, neighbours=own) for each, own in zip(contexts, found, strict=True)]


def _refitted(
    stages: Stages, contexts: list[StagedContext], columns: Sequence[Column]
) -> list[StagedContext]:
    left = [Residuals(each, stages.filters, stages.channels, stages.positions) for each in contexts]
    for which, position, stage, bits, kept in bits_in_stages(columns, stages):
        for run in stage.coded:
            kernels = None if kept is None else kept[run.kernels]
            left[which].add(run, bits[run.kernels], position, kernels)
    return [each.refitted(levels=which == 0) for which, each in enumerate(left)]


def _both(contexts: list[StagedContext]) -> Both:
    of_mask, of_moved, *_ = *contexts, None
    assert of_mask is not None
    return of_mask, of_moved


def _stages(
    tensor: MaskedTensor, seed: int, contexts: list[StagedContext], remembers: bool = False
) -> Stages:
    return Stages(tensor.name, tensor.mask.shape, seed, *_both(contexts), tensor.sign_only, remembers)


def plain_contexts(
    tensor: MaskedTensor, seed: int, kept: Places, moved: Bits | None, staged: bool
) -> Iterator[Context]:
    """For the mask's bits and for those that say which weights moved, but for neighbours."""
    size, shape = tensor.size, tensor.mask.shape
    pairs, axes = _pairs(tensor.name, seed, kept), _by_axis(shape, staged, kept)
    every = tuple((np.full(len(each), size / len(each)), each) for each in axes)
    yield fitted(Tally((np.full((CLASSES, CLASSES), size / CLASSES**2), pairs), every), gain=LEAST_GAIN)
    if moved is not None:
        there = kept[moved]
        both = tuple(zip(axes, _by_axis(shape, staged, there), strict=True))
        # Also by the sign that the seed gives.
        yield fitted(Tally((pairs, _pairs(tensor.name, seed, there)), both), SIGNED_WEIGHTS, LEAST_WORTH)


def _pairs(layer: str, seed: int, places: Places) -> NDArray[np.float64]:
    weight = high_bits_at(stream_key(seed, layer), places) >> np.uint64(56)
    score = high_bits_at(stream_key(seed, layer, purpose="score"), places) >> np.uint64(56)
    both = (weight << np.uint64(8) | score).view(np.int64)
    counts = np.bincount(both, minlength=CLASSES**2)
    return counts.reshape(CLASSES, CLASSES).astype(np.float64)


def _by_axis(shape: tuple[int, ...], staged: bool, places: Places) -> list[NDArray[np.float64]]:
    filters, channels, positions = extents_in_stages(shape, staged)
    cells, position = np.divmod(places, positions)
    rows, channel = np.divmod(cells, channels)
    counted = ((rows, filters), (channel, channels), (position, positions))
    return [np.bincount(index, minlength=count).astype(np.float64) for index, count in counted]
