"""How the kept weights are shared among layers that are ranked alone."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recycle_pipeline.models.allocation import ALLOCATIONS, DENSEST, prune_rates
from recycle_pipeline.models.masked_network import MaskedNetwork
from recycle_pipeline.models.recipe import Recipe
from recycle_pipeline.models.registry import build

CONV6 = [(64, 3, 3, 3), (64, 64, 3, 3), (128, 64, 3, 3), (128, 128, 3, 3), (256, 128, 3, 3), (256, 256, 3, 3)]
CONV6 += [(256, 4096), (256, 256), (10, 256)]
SHAPES = st.lists(
    st.tuples(st.integers(1, 600), st.integers(1, 600), st.integers(1, 3)), min_size=1, max_size=30
)


@given(SHAPES, st.floats(0.01, 0.999), st.sampled_from(ALLOCATIONS))
def test_over_all_layers_the_asked_fraction_is_removed(
    shapes: list[tuple[int, ...]], prune: float, rule: str
) -> None:
    rates = prune_rates(shapes, prune, rule)  # type: ignore[arg-type]
    sizes = [math.prod(shape) for shape in shapes]
    assert sum(r * s for r, s in zip(rates, sizes, strict=True)) == pytest.approx(prune * sum(sizes))
    assert all(0.0 < rate < 1.0 for rate in rates)


@given(SHAPES, st.floats(0.501, 0.999), st.sampled_from(("erk", "root")))
def test_no_layer_is_denser_than_half_and_smaller_ones_are_denser(
    shapes: list[tuple[int, ...]], prune: float, rule: str
) -> None:
    rates = prune_rates(shapes, prune, rule)  # type: ignore[arg-type]
    assert all(rate >= 1.0 - DENSEST - 1e-12 for rate in rates)
    if rule == "root":
        by_size = [rate for _, rate in sorted(zip(map(math.prod, shapes), rates, strict=True))]
        assert all(later >= before - 1e-12 for before, later in itertools.pairwise(by_size))


def test_erk_is_in_proportion_to_sum_over_product() -> None:
    density = [1.0 - rate for rate in prune_rates(CONV6, 0.9, "erk")]
    assert density[0] == density[-1] == DENSEST
    share = [d / (sum(s) / math.prod(s)) for d, s in zip(density, CONV6, strict=True)][1:-1]
    assert share == pytest.approx([share[0]] * len(share))


def test_root_is_in_proportion_to_the_root_of_the_size() -> None:
    density = [1.0 - rate for rate in prune_rates(CONV6, 0.9, "root")]
    assert [round(d, 3) for d in density] == [0.5, 0.339, 0.24, 0.17, 0.12, 0.085, 0.064, 0.254, 0.5]


@pytest.mark.parametrize("rule", ALLOCATIONS)
def test_where_half_or_more_is_kept_every_layer_keeps_the_same(rule: str) -> None:
    assert prune_rates(CONV6, 0.3, rule) == [0.3] * len(CONV6)  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", ("erk", "root"))
def test_masks_keep_what_each_layer_was_given_and_weights_are_scaled_for_it(rule: str) -> None:
    network = build("conv2", classes=10, channels=3, image_size=8)
    recipe = Recipe(0, "binary", 0.9, "signed_constant", "keep", "layer", allocation=rule)  # type: ignore[arg-type]
    masked = MaskedNetwork(network, recipe)
    rates = prune_rates([tuple(layer.scores.shape) for layer in masked.layers], 0.9, recipe.allocation)
    assert len(set(rates)) > 2
    for layer, tensor, rate in zip(masked.layers, masked.tensors(), rates, strict=True):
        assert tensor.kept == recipe.kept(tensor.size, rate) == masked.kept(layer, 0.9)
        fan = math.prod(tensor.mask.shape[1:])
        assert layer.scale == pytest.approx(math.sqrt(2.0 / (fan * (1.0 - rate))))
