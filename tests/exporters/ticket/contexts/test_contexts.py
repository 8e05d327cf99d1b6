"""Contexts: classes of weights as FORMAT.md says, found in runs or one by one; what is fitted pays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recycle_pipeline.exporters.ticket.coding.streams import Vector
from recycle_pipeline.exporters.ticket.contexts.context import Axis, Classes, Context, extents
from recycle_pipeline.exporters.ticket.contexts.grouped import Gathered, OfAll, OfKept, Spread
from recycle_pipeline.exporters.ticket.contexts.staged import StagedContext
from recycle_pipeline.exporters.ticket.contexts.stored import Numbers, contexts_of, numbers_of, symbols_of
from recycle_pipeline.exporters.ticket.fitting import plain_contexts
from recycle_pipeline.models.draws import bits_at, stream_key
from recycle_pipeline.models.subnetwork import MaskedTensor

SEED, NAME = 5, "layer"
SHAPES = [(3, 2, 3, 3), (7,), (2, 40_000), (40_000, 2), (1, 1, 100_000), (300, 300)]


def context_for(shape, flags, seed):
    rng = np.random.default_rng(seed)
    weight, score = Axis(int(rng.integers(2)), int(rng.integers(4))), Axis(1, int(rng.integers(5)))
    table = rng.integers(100, 150, (1 << weight.count, 1 << score.count), dtype=np.uint8)
    levels = [
        rng.integers(-30, 30, n, dtype=np.int8) if flags >> i & 1 else None
        for i, n in enumerate(extents(shape))
    ]
    return Context(weight, score, table, *levels)


def by_the_book(context, shape):
    """Each weight by itself, in Python's integers."""
    _, channels, positions = extents(shape)
    found = []
    for i in range(int(np.prod(shape))):
        at = np.array([i], np.uint64)
        w, s = (int(bits_at(stream_key(SEED, NAME, 0, p), at)[0]) >> 56 for p in ("weight", "score"))
        row, column = (
            (b << a.first & 255) >> 8 - a.count for b, a in ((w, context.weight), (s, context.score))
        )
        levels = i // (channels * positions), i // positions % channels, i % positions
        added = sum(int(own[j]) for own, j in zip(context.levels, levels, strict=True) if own is not None)
        found.append(int(context.table[row, column]) + added)
    return found


@pytest.mark.parametrize("flags", range(8))
@pytest.mark.parametrize("shape", [(3, 2, 3, 3), (7,), (4, 9)], ids=str)
def test_classes_are_those_of_the_format(shape, flags):
    context = context_for(shape, flags, flags)
    runs = [found for _, found in Classes(context, SEED, NAME, shape).runs()]
    assert np.concatenate(runs).tolist() == by_the_book(context, shape)


@pytest.mark.parametrize("flags", [0, 1, 3, 7])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_runs_and_single_places_agree_however_rows_and_runs_lie(shape, flags):
    context = context_for(shape, flags, 1)
    classes = Classes(context, SEED, NAME, shape)
    whole = np.concatenate([found for _, found in classes.runs()])
    places = np.flatnonzero(np.random.default_rng(2).random(whole.size) < 0.3)
    some = np.concatenate([np.zeros(0, np.uint8), *(found for _, found in classes.at(places))])
    assert np.array_equal(some, whole[places])


def spread(vectors):
    """All bits set: a vector without places."""
    return [Vector(len(v), None if v.all() else np.flatnonzero(v).astype(np.uint32)) for v in vectors]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bits_are_spread_as_they_were_gathered(shape):
    rng = np.random.default_rng(3)
    classes = [Classes(context_for(shape, flags, flags), SEED, NAME, shape) for flags in (0, 3)]
    masks = [rng.random(shape) < p for p in (0.1, 0.6)]
    moved = rng.random(np.count_nonzero(masks[0])) < 0.5
    of = [*map(OfAll, classes), OfKept(classes[0], masks[0], len(moved))]
    bits = [*(mask.reshape(-1) for mask in masks), moved]
    found = Gathered()
    for each, own in zip(of, bits, strict=True):
        found.add(each, own)
    vectors = found.vectors()
    most = sum(map(len, vectors)) + 1
    taken = Spread(spread(vectors), most)
    for got, expected in zip(taken.places(of), bits, strict=True):
        assert np.array_equal(got, np.flatnonzero(expected))
    taken.end()
    full = next(i for i, vector in enumerate(vectors) if len(vector))
    for other in (vectors[full][:-1], np.append(vectors[full], True)):
        taken = Spread(spread([*vectors[:full], other, *vectors[full + 1 :]]), most)
        with pytest.raises(ValueError, match=f"bits of class {full}"):
            taken.places(of)
            taken.end()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(SHAPES[:2]), st.integers(0, 7), st.integers(0, 99)), max_size=4))
def test_contexts_come_back_from_their_numbers_and_symbols(drafts):
    contexts = [context_for(*draft) for draft in drafts]
    staged = [StagedContext(context) for context in contexts]
    numbers = [Numbers(numbers_of(c), d[0], False) for c, d in zip(staged, drafts, strict=True)]
    for both, expected in zip(contexts_of(numbers, *symbols_of(staged)), contexts, strict=True):
        got = both.plain
        assert both.neighbours is None
        assert (got.weight, got.score) == (expected.weight, expected.score)
        assert np.array_equal(got.table, expected.table)
        for mine, theirs in zip(got.levels, expected.levels, strict=True):
            assert (mine is None and theirs is None) or np.array_equal(mine, theirs)


def test_sums_that_leave_the_classes_are_refused():
    """In version 3; in version 4 they are the last class, or the first."""
    plain = Context(Axis(), Axis(), np.full((1, 1), 250, np.uint8), np.array([0, 6], np.int8))
    context = StagedContext(plain)
    with pytest.raises(ValueError, match="classes from 250 to 256"):
        contexts_of([Numbers(numbers_of(context), (2, 3), False)], *symbols_of([context]))
    assert contexts_of([Numbers(numbers_of(context), (2, 3), True)], *symbols_of([context]))


def tensor_of(mask):
    return MaskedTensor(NAME, "kaiming_normal", np.float32(1), mask)


def test_what_the_seed_foretells_is_found():
    """A mask that keeps the highest first scores: their bytes say nearly all."""
    size = 64 * 64 * 9
    scores = bits_at(stream_key(SEED, NAME, purpose="score"), np.arange(size, dtype=np.uint64))
    magnitude = scores << np.uint64(1)
    mask = (magnitude > np.sort(magnitude)[int(0.9 * size)]).reshape(64, 64, 3, 3)
    context = next(plain_contexts(tensor_of(mask), SEED, np.flatnonzero(mask), None, False))
    assert context.score.first == 1 and context.score.count >= 4 and context.weight.count == 0


def test_filters_that_differ_get_levels_and_noise_gets_no_context():
    rng = np.random.default_rng(4)
    density = np.where(np.arange(64) % 2, 0.02, 0.2)[:, None, None, None]
    mask = rng.random((64, 64, 3, 3)) < density
    context = next(plain_contexts(tensor_of(mask), SEED, np.flatnonzero(mask), None, False))
    assert context.filters is not None and context.channels is None and context.table.size == 1
    noise = rng.random((64, 64, 3, 3)) < 0.1
    assert next(plain_contexts(tensor_of(noise), SEED, np.flatnonzero(noise), None, False)).constant
