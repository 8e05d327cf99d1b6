"""Contexts for a layer that is to be stored, from its counts."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

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
from recycle_pipeline.exporters.ticket.contexts.staged import Stage, StagedContext, Stages
from recycle_pipeline.models.draws import high_bits_at, stream_key
from recycle_pipeline.models.subnetwork import MaskedTensor, places_of

# Where fewer moved, as late in a ResNet, contexts save 0.1 % of the file and cost 10 % of its reading.
LEAST_WORTH = 0.03
LEAST_KERNELS = 256  # that neighbours are worth looking at
ENOUGH = 1 << 15  # kept weights for 32 levels
Places = NDArray[np.intp]
Bits = NDArray[np.bool_]
Both = tuple[StagedContext, StagedContext | None]  # of a mask, and of what moved
StagedBits = tuple[int, int, Stage, Bits, Places | None]
NO_LEVELS = ByNeighbours(np.zeros(NEARS, np.int8), np.zeros(SUMS, np.int8))


def contexts_for(
    tensor: MaskedTensor, seed: int, kept: Places, moved: Bits | None, most: int
) -> tuple[Both, Stages]:
    """For the mask's bits, and for those that say which of the kept weights moved; and the layer's stages.

    Args:
        tensor, seed: the layer.
        kept: flat indices of the kept weights.
        moved: (kept,), None if none did.
        most: kernel positions that may be decoded in turn.
    """
    filters, channels, positions = extents(tensor.mask.shape)
    staged = 2 <= positions <= min(most, MOST_POSITIONS) and filters * channels >= LEAST_KERNELS
    staged = staged and 0 < len(kept) < tensor.size
    found = [StagedContext(in_fine_steps(mask_context(tensor, seed, kept, staged)))]
    if moved is not None:
        found.append(StagedContext(in_fine_steps(moved_context(tensor, seed, kept, moved, staged))))
    if staged:
        # What filters and channels say of moves, neighbours say as well.
        found[1:] = [StagedContext(replace(each.plain, filters=None, channels=None)) for each in found[1:]]
        trial = [replace(each, neighbours=NO_LEVELS) for each in found]
        counted = [ByCode() for _ in found]
        some = _some_filters(tensor, trial, moved)
        for which, _, stage, bits, _ in bits_in_stages(some[0], _stages(some[0], seed, some[1]), some[2]):
            for run in stage.coded:
                counted[which].add(run, bits[run.kernels])
        found = [
            replace(each, neighbours=counts.neighbours()) for each, counts in zip(found, counted, strict=True)
        ]
        found[0] = replace(found[0], neighbours=found[0].neighbours or NO_LEVELS)
        stages = _stages(tensor, seed, found, remembers=True)
        found = _refitted(tensor, stages, found, moved)
        return _both(found), stages.again(*_both(found))
    return _both(found), _stages(tensor, seed, found)


def _some_filters(
    tensor: MaskedTensor, contexts: list[StagedContext], moved: Bits | None
) -> tuple[MaskedTensor, list[StagedContext], Bits | None]:
    """The first filters of a layer, as many as say enough of neighbours, their contexts and bits."""
    filters = tensor.mask.shape[0]
    count = min(filters, -(-filters * ENOUGH // tensor.kept))
    some = replace(tensor, mask=tensor.mask[:count])
    cut = [
        replace(
            each,
            plain=replace(each.plain, filters=None if (own := each.plain.filters) is None else own[:count]),
        )
        for each in contexts
    ]
    return some, cut, None if moved is None else moved[: np.count_nonzero(some.mask)]


def _refitted(
    tensor: MaskedTensor, stages: Stages, contexts: list[StagedContext], moved: Bits | None
) -> list[StagedContext]:
    left = [Residuals(each, stages.filters, stages.channels, stages.positions) for each in contexts]
    for which, position, stage, bits, kept in bits_in_stages(tensor, stages, moved):
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


def mask_context(tensor: MaskedTensor, seed: int, kept: Places, staged: bool) -> Context:
    """For the mask's bits, but for neighbours."""
    size = tensor.size
    all_pairs = np.full((CLASSES, CLASSES), size / CLASSES**2)
    pairs = all_pairs, _pairs(tensor.name, seed, kept)
    axes = [(np.full(len(c), size / len(c)), c) for c in _by_axis(tensor.mask.shape, staged, kept)]
    return fitted(Tally(pairs, tuple(axes)))


def moved_context(tensor: MaskedTensor, seed: int, kept: Places, moved: Bits, staged: bool) -> Context:
    """For the bits that say which weights moved, but for neighbours; also by the sign that the seed gives."""
    there = kept[moved]
    pairs = _pairs(tensor.name, seed, kept), _pairs(tensor.name, seed, there)
    shape = tensor.mask.shape
    axes = tuple(zip(_by_axis(shape, staged, kept), _by_axis(shape, staged, there), strict=True))
    return fitted(Tally(pairs, axes), SIGNED_WEIGHTS, LEAST_WORTH)


def bits_in_stages(tensor: MaskedTensor, stages: Stages, moved: Bits | None) -> Iterator[StagedBits]:
    """A layer's bits as they are coded.

    Args:
        tensor, stages: the layer.
        moved: (kept,), which of the kept weights moved, None if none.

    Yields:
        0 for the mask's bits or 1 for those of what moved; the position; the classes; the bits; and which
        kernels they are of, None if of all.
    """
    step, marks = stages.positions, None
    mask = tensor.mask.reshape(-1, step)
    if moved is not None:
        flat = np.zeros(tensor.size, np.bool_)
        flat[tensor.mask.reshape(-1)] = moved
        marks = flat
    for position in range(step):
        own = np.ascontiguousarray(mask[:, position])
        yield 0, position, stages.masks(position), own, None
        kept, turned = places_of(own), None
        if marks is not None:
            turned = marks.take(kept * step + position)
            yield 1, position, stages.moved(position, kept), turned, kept
        stages.settle(position, kept, turned)


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
