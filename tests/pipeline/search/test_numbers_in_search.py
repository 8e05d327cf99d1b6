"""A search meets NaN, infinity, and images that say nothing."""

import pytest
import torch
from torch import nn

from recycle_pipeline.models.errors import RecycleError
from recycle_pipeline.models.masked_network import MaskedNetwork
from recycle_pipeline.pipeline.search.loop import search


class Overflowing(nn.Module):
    """At its fifth step the variance of what a batch norm sees is beyond float32; its output is 0 then."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3))
        self.steps = 0

    def forward(self, images):
        self.steps += self.training
        maps = self.layers[0](images) * (1e25 if self.steps == 5 else 1.0)
        return self.layers[2:](self.layers[1](maps))


def test_batch_norm_statistics_that_overflow_stop_the_search_though_the_loss_is_finite(
    image_set, settings_with, cpu
):
    with pytest.raises(
        RecycleError,
        match=r"^layers\.1\.running_var is not finite though the loss is, since one of steps 4 to 6, "
        r"in epoch 2 \(learning rate 0\.0413 to 0\.075\); try a",
    ):
        search(Overflowing(), image_set(train=24), settings_with(epochs=3), cpu)


@pytest.mark.parametrize("part", ["layers.1.running_mean", "layers.1.running_var", "layers.3.bias"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_what_is_not_finite_in_a_network_is_named(settings_with, part, value):
    masked = MaskedNetwork(Overflowing(), settings_with().recipe)
    assert masked.not_finite() is None
    masked.network.state_dict()[part][-1] = value
    assert masked.not_finite() == part


def test_scores_that_are_not_finite_are_named(settings_with):
    masked = MaskedNetwork(Overflowing(), settings_with().recipe)
    masked.scores[1].data.view(-1)[7] = torch.nan
    assert masked.not_finite() == "layers.3.parametrizations.weight.original"


@pytest.mark.parametrize("images", ["of one class", "all alike"])
def test_batches_of_one_class_and_images_that_are_all_alike_are_searched(
    image_set, settings_with, cpu, images
):
    given = image_set(train=24)
    if images == "of one class":
        given.train_labels[:] = 1
    else:
        given.train_images[:] = 7
    masked = search(Overflowing().train(), given, settings_with(epochs=1), cpu)
    assert masked.not_finite() is None


def test_layers_that_keep_nothing_are_searched(image_set, settings_with, cpu):
    """Ranked over all layers, a mask may keep nothing of one."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2), nn.ReLU(), nn.Linear(2, 90), nn.Linear(90, 3))
    masked = search(network, image_set(train=24), settings_with(scope="global", prune=0.995), cpu)
    assert masked.not_finite() is None and sum(tensor.kept for tensor in masked.tensors()) == 3
    assert any(tensor.kept == 0 for tensor in masked.tensors())
