"""Which layers are masked, and which networks cannot be."""

import pytest
import torch
from torch import nn

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.models.maskable import check_network, maskable_layers


class Flat(nn.Module):
    """Images of 4 px to logits by one function of the flattened pixels."""

    def __init__(self, forward, **modules):
        super().__init__()
        for name, module in modules.items():
            setattr(self, name, module)
        self.function = forward

    def forward(self, x):
        return self.function(self, x.flatten(1))


def test_convolutions_and_linear_layers_are_masked_in_the_networks_order():
    inner = nn.Sequential(nn.Conv1d(1, 1, 1), nn.BatchNorm1d(1), nn.Conv2d(1, 1, 1))
    network = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2), inner, nn.Conv3d(1, 1, 1), nn.Embedding(2, 2))
    assert list(maskable_layers(network)) == ["0", "2.0", "2.2", "3"]


@pytest.mark.parametrize("network", [nn.ReLU(), nn.Sequential(nn.BatchNorm2d(3), nn.Embedding(2, 2))])
def test_a_network_with_nothing_to_mask_is_refused(network):
    with pytest.raises(UsageFault, match="has no layer to mask: expected at least one convolution"):
        maskable_layers(network)


def test_two_layers_with_one_weight_are_refused():
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    network[2].weight = network[0].weight
    with pytest.raises(UsageFault, match="Sequential share one weight"):
        maskable_layers(network)


def test_one_layer_under_two_names_is_refused():
    """Its weight has two state names, and a subnetwork would hold one of them."""
    layer = nn.Linear(4, 4)
    with pytest.raises(UsageFault, match="share one weight"):
        maskable_layers(nn.Sequential(layer, nn.ReLU(), layer))


def test_one_layer_that_is_called_twice_is_masked_once():
    network = Flat(
        lambda self, x: self.out(self.hidden(self.hidden(x))), hidden=nn.Linear(16, 16), out=nn.Linear(16, 3)
    )
    check_network(network, 3, 1, 4)
    assert list(maskable_layers(network)) == ["hidden", "out"]


def test_a_network_that_maps_images_to_logits_passes():
    check_network(
        Flat(lambda self, x: self.out(x), out=nn.Linear(32, 3)), classes=3, channels=2, image_size=4
    )


@pytest.mark.parametrize("training", [True, False])
def test_the_check_leaves_mode_and_statistics_as_they_were(training):
    norm = nn.BatchNorm1d(16)
    network = Flat(lambda self, x: self.out(self.norm(x + 1)), norm=norm, out=nn.Linear(16, 3)).train(
        training
    )
    check_network(network, 3, 1, 4)
    assert network.training is norm.training is training
    assert not norm.running_mean.any() and norm.num_batches_tracked == 0


@pytest.mark.parametrize(
    ("forward", "shape"),
    [
        (lambda self, x: self.out(x)[:, :2], r"\(2, 2\)"),
        (lambda self, x: self.out(x).unsqueeze(-1), r"\(2, 3, 1\)"),
        (lambda self, x: self.out(x).sum(), r"\(\)"),
        (lambda self, x: self.out(x).T, r"\(3, 2\)"),
    ],
    ids=["too few classes", "a dimension too many", "a scalar", "transposed"],
)
def test_logits_of_another_shape_are_refused(forward, shape):
    with pytest.raises(
        UsageFault, match=rf"Flat maps 2 images to shape {shape}; expected \(2, 3\), a logit per class"
    ):
        check_network(Flat(forward, out=nn.Linear(16, 3)), 3, 1, 4)


def _raises(self, x):
    raise KeyError("no such head")


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda self, x: self.out(x[:, :5]), "RuntimeError"),
        (lambda self, x: (self.out(x), x), "AttributeError"),
        (_raises, "KeyError: 'no such head'"),
    ],
    ids=["wrong size", "returns a tuple", "raises"],
)
def test_a_network_that_fails_on_images_is_refused_with_its_own_error(forward, message):
    network = Flat(forward, out=nn.Linear(16, 3))
    with pytest.raises(
        UsageFault, match=rf"Flat fails on images of shape \(2, 1, 4, 4\): {message}"
    ) as caught:
        check_network(network, 3, 1, 4)
    assert caught.value.__cause__ is not None
    assert network.training  # restored on the way out


def test_the_check_needs_no_gradient():
    grown = []
    network = Flat(lambda self, x: grown.append(self.out(x)) or grown[-1], out=nn.Linear(16, 3))
    check_network(network, 3, 1, 4)
    assert not grown[0].requires_grad and torch.is_tensor(grown[0])
