"""Kernel positions in turn: classes as FORMAT.md says, weight by weight; neighbours that agree are found."""

import numpy as np
import pytest

from recycle_pipeline.exporters.ticket.columns import bits_in_stages, columns_of
from recycle_pipeline.exporters.ticket.contexts import staged
from recycle_pipeline.exporters.ticket.contexts.context import Axis, Context
from recycle_pipeline.exporters.ticket.contexts.neighbours import ByNeighbours
from recycle_pipeline.exporters.ticket.contexts.staged import StagedContext, Stages
from recycle_pipeline.exporters.ticket.contexts.stored import Numbers, contexts_of, numbers_of, symbols_of
from recycle_pipeline.exporters.ticket.fitting import LEAST_KERNELS, contexts_for
from recycle_pipeline.models.draws import bits_at, signs_at, stream_key
from recycle_pipeline.models.subnetwork import MaskedTensor

pytestmark = pytest.mark.usefixtures("either_loops")

SEED, NAME = 5, "layer"
SHAPES = [(3, 2, 3, 3), (2, 5, 2, 4), (4, 3, 5), (1, 2, 2, 3, 2), (6, 7)]


def context_for(shape, rng, neighbours=True):
    filters, channels, positions = shape[0], shape[1], int(np.prod(shape[2:]))
    channels, positions = (channels, positions) if neighbours else (channels * positions, 1)
    levels = [rng.integers(-120, 120, n, dtype=np.int8) for n in (filters, channels, positions)]
    table = rng.integers(0, 256, (4, 8), dtype=np.uint8)
    near = [rng.integers(-60, 60, n, dtype=np.int8) for n in (17, 15)]
    plain = Context(Axis(0, 2), Axis(1, 3), table, *levels)
    return StagedContext(plain, ByNeighbours(*near) if neighbours else None)


def by_the_book(tensor, contexts, signs_matter, moved):
    """{(0 or 1, position): classes} in Python's integers, from the whole tensor."""
    shape, flat = tensor.mask.shape, tensor.mask.reshape(-1)
    staged_ = contexts[0].neighbours is not None
    positions = int(np.prod(shape[2:])) if staged_ else 1
    channels, width = flat.size // shape[0] // positions, shape[-1]
    turned = np.zeros(flat.size, bool)
    turned[flat] = moved
    found = {}
    for i in sorted(range(flat.size), key=lambda i: (i % positions, i)):
        position, kernel, e = i % positions, i // positions, sign(i)

        def t(q, kernel=kernel):
            j = kernel * positions + q
            if q < 0 or not flat[j]:
                return 0
            return sign(j) * ((1 - 2 * turned[j]) if signs_matter else 1 - turned[j])

        x = position % width
        near = 3 * ((t(position - 1) if x else 0) + t(position - width))
        near += (t(position - width - 1) if x else 0) + (t(position - width + 1) if x + 1 < width else 0)
        total = max(-7, min(7, sum(t(q) for q in range(position))))
        for which, context in enumerate(contexts):
            if which and not flat[i]:
                continue
            plain, by = context.plain, context.neighbours
            s = int(plain.table[byte(i, "weight") >> 6, byte(i, "score") >> 4 & 7]) - 128
            s += int(plain.filters[kernel // channels]) + int(plain.channels[kernel % channels])
            s += int(plain.positions[position])
            s += int(by.near[e * near + 8]) + int(by.sum[e * total + 7]) if by else 0
            found.setdefault((which, position), []).append(max(0, min(127, 64 + s // 4)))
    return found


def byte(i, purpose):
    return int(bits_at(stream_key(SEED, NAME, 0, purpose), np.array([i], np.uint64))[0]) >> 56


def sign(i):
    return -1 if signs_at(stream_key(SEED, NAME), np.array([i]))[0] else 1


@pytest.mark.parametrize("signs_matter", [True, False])
@pytest.mark.parametrize("run", [1 << 16, 4])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_classes_are_those_of_the_format(shape, run, signs_matter, monkeypatch):
    monkeypatch.setattr(staged, "RUN", run)
    rng = np.random.default_rng(len(shape))
    mask = rng.random(shape) < 0.6
    moved = rng.random(np.count_nonzero(mask)) < 0.4
    tensor = MaskedTensor(NAME, "signed_constant" if signs_matter else "kaiming_normal", np.float32(1), mask)
    contexts = [context_for(shape, rng, len(shape) > 2) for _ in range(2)]
    stages = Stages(NAME, shape, SEED, *contexts, signs_matter)
    found = {}
    for which, position, stage, bits, _ in bits_in_stages(
        columns_of(tensor, stages.positions, np.flatnonzero(mask), moved), stages
    ):
        classes = [own for _, own in stage.runs()]
        if len(bits):
            found[which, position] = np.concatenate(classes).tolist()
        assert stage.count == len(bits) == sum(map(len, classes))
    assert found == by_the_book(tensor, contexts, signs_matter, moved)


def test_contexts_come_back_from_their_numbers_and_symbols():
    rng = np.random.default_rng(0)
    contexts = [context_for(shape, rng) for shape in SHAPES[:3]]
    of_mask = [Numbers(numbers_of(c), shape, True) for c, shape in zip(contexts, SHAPES, strict=False)]
    found = contexts_of(of_mask, *symbols_of(contexts))
    for got, expected in zip(found, contexts, strict=True):
        assert np.array_equal(got.plain.table, expected.plain.table)
        for mine, theirs in zip(got.plain.levels, expected.plain.levels, strict=True):
            assert np.array_equal(mine, theirs)
        assert np.array_equal(got.neighbours.near, expected.neighbours.near)
        assert np.array_equal(got.neighbours.sum, expected.neighbours.sum)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 1, 1), (4, 4, 65), (4, 4, 9, 9)], ids=str)
def test_neighbours_of_a_weight_that_has_none_or_too_many_are_refused(shape):
    with pytest.raises(ValueError, match="are of neighbours, which a weight of shape"):
        Numbers([0, 0, 0, 0, 8], shape, True)


def test_moves_have_no_neighbours_where_the_mask_has_none():
    of_mask = Numbers([0] * 5, (4, 4, 3, 3), True)
    with pytest.raises(ValueError, match="are of neighbours"):
        Numbers([0, 0, 0, 0, 8], (4, 4, 3, 3), True, of_mask)
    assert Numbers([0] * 5, (4, 4, 3, 3), True, Numbers([0, 0, 0, 0, 8], (4, 4, 3, 3), True)).in_turn


def kernels_of_one_sign(agreeing):
    """A quarter is kept, three quarters of these in half of the kernels; their signs agree so often."""
    rng, shape = np.random.default_rng(1), (32, 32, 3, 3)
    dense = rng.random((*shape[:2], 1, 1)) < 0.5
    mask = rng.random(shape) < np.where(dense, 0.38, 0.12)
    kept = np.flatnonzero(mask)
    wanted = (rng.random(kept[-1] // 9 + 1) < 0.5)[kept // 9]
    moved = (signs_at(stream_key(SEED, NAME), kept) != wanted) & (rng.random(len(kept)) < agreeing)
    return MaskedTensor(NAME, "signed_constant", np.float32(1), mask, flips=moved), kept, moved


def test_neighbours_that_agree_are_found_and_noise_is_not():
    tensor, kept, moved = kernels_of_one_sign(0.9)
    (of_mask, of_moved), _ = contexts_for(tensor, SEED, kept, moved, 9)
    assert of_moved.neighbours is not None
    levels = of_moved.neighbours.sum.astype(int)
    assert levels[:4].mean() - levels[-4:].mean() > 10  # those of the other sign are turned
    rng = np.random.default_rng(2)
    noise = MaskedTensor(NAME, "signed_constant", np.float32(1), rng.random((32, 32, 3, 3)) < 0.2)
    (of_mask, of_moved), _ = contexts_for(noise, SEED, np.flatnonzero(noise.mask), None, 9)
    assert of_moved is None and not of_mask.neighbours.near.any() and not of_mask.neighbours.sum.any()


def test_only_so_many_positions_are_in_turn_and_small_layers_are_not():
    tensor, kept, moved = kernels_of_one_sign(0.9)
    assert contexts_for(tensor, SEED, kept, moved, 8)[0][0].neighbours is None
    few = MaskedTensor(NAME, "signed_constant", np.float32(1), tensor.mask[: LEAST_KERNELS // 32 - 1])
    assert contexts_for(few, SEED, np.flatnonzero(few.mask), None, 9)[0][0].neighbours is None
