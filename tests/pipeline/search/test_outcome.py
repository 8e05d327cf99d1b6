"""From a finished search to the Subnetwork value: it rebuilds the very tensors searched."""

import numpy as np
import pytest
from torch import nn

from recycle_pipeline.models.errors import RecycleError
from recycle_pipeline.pipeline.search.loop import search
from recycle_pipeline.pipeline.search.outcome import subnetwork_of

CASES = [
    ("binary", "recycle", "kaiming_normal"),
    ("binary", "rerandomize", "signed_constant"),
    ("continuous", "recycle", "kaiming_uniform"),
    ("continuous", "rerandomize", "kaiming_normal"),
    ("continuous", "none", "signed_constant"),
]


@pytest.mark.parametrize(("kind", "reuse", "init"), CASES)
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_the_subnetwork_rebuilds_the_searched_tensors_bit_for_bit(
    image_set, settings_with, small_network, cpu, kind, reuse, init, scope
):
    settings = settings_with(
        epochs=6, kind=kind, reuse=reuse, init=init, scope=scope, reuse_rate=0.4, prune=0.7
    )
    masked = search(small_network(), image_set(), settings, cpu)
    rebuilt = subnetwork_of(masked, image_set(), "mine").weights()
    searched = {name: tensor.numpy() for name, tensor in masked.effective().items()}
    assert rebuilt.keys() == searched.keys() == {"1.weight", "3.weight"}
    for name, array in searched.items():
        assert rebuilt[name].tobytes() == array.tobytes()


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_masks_of_another_count_than_the_prune_rate_are_refused(
    image_set, settings_with, small_network, cpu, scope
):
    masked = search(small_network(), image_set(), settings_with(scope=scope, prune=0.5), cpu)
    masked.refresh(0.6)
    with pytest.raises(
        RecycleError, match=r"^the search kept \d+ weights where 0\.5 removed leaves \d+; this is a bug"
    ):
        subnetwork_of(masked, image_set(), "mine")


def test_the_settings_are_kept_as_the_recipe(image_set, settings_with, small_network, cpu):
    masked = search(small_network(), image_set(), settings_with(), cpu)
    assert subnetwork_of(masked, image_set(), "mine", {"epochs": 1}).recipe == {"epochs": 1}
    assert subnetwork_of(masked, image_set(), "mine").recipe == {}


def test_the_subnetwork_says_what_data_and_recipe_it_is_of(image_set, settings_with, cpu):
    images = image_set(channels=2)
    network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3))
    masked = search(network, images, settings_with(seed=5, scope="global", prune=0.6), cpu)
    subnetwork = subnetwork_of(masked, images, "my.module:net")
    expected = {
        "arch": "my.module:net",
        "classes": ("class0", "class1", "class2"),
        "channels": 2,
        "image_size": 8,
        "mean": images.mean,
        "std": images.std,
        "seed": 5,
        "kind": "continuous",
        "prune": 0.6,
        "scope": "global",
    }
    assert {name: getattr(subnetwork, name) for name in expected} == expected
    assert set(subnetwork.state) == {
        "0.bias",
        "1.weight",
        "1.bias",
        "1.running_mean",
        "1.running_var",
        "3.bias",
    }
    assert np.array_equal(subnetwork.state["1.running_mean"], network[1].running_mean.numpy())
