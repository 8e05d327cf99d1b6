"""Search settings with defaults, and networks small enough to search in milliseconds."""

import dataclasses

import pytest
import torch
from torch import nn

from recycle_pipeline.models.recipe import Recipe
from recycle_pipeline.pipeline.search.settings import SearchSettings

RECIPE = Recipe(seed=0, kind="continuous", prune=0.5, init="kaiming_normal", scale_fan="keep", scope="layer")
SETTINGS = SearchSettings(
    recipe=RECIPE,
    epochs=1,
    batch_size=8,
    learning_rate=0.1,
    momentum=0.9,
    weight_decay=1e-4,
    warmup=0.0,
    label_smoothing=0.0,
    reuse="none",
    reuse_rate=0.2,
    reuse_period=2,
)


@pytest.fixture(scope="session")
def settings_with():
    """Search settings; names of `Recipe` go to the recipe."""

    def make(**changes):
        of_recipe = {f.name for f in dataclasses.fields(Recipe)} & changes.keys()
        recipe = dataclasses.replace(RECIPE, **{name: changes.pop(name) for name in of_recipe})
        return dataclasses.replace(SETTINGS, recipe=recipe, **changes)

    return make


@pytest.fixture(scope="session")
def small_network():
    """Two masked layers for (N, 1, 8, 8) images and three classes."""

    def make():
        return nn.Sequential(
            nn.Flatten(), nn.Linear(64, 10, bias=False), nn.ReLU(), nn.Linear(10, 3, bias=False)
        )

    return make


@pytest.fixture(scope="session")
def cpu():
    return torch.device("cpu")
