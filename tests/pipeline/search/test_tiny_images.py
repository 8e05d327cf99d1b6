"""Convolutions of tiny images as products: what torch's convolutions give, forward and backward."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from recycle_pipeline.models.registry import build
from recycle_pipeline.pipeline.search import tiny_images as module
from recycle_pipeline.pipeline.search.tiny_images import tiny_images

PRODUCTS = [  # image, kernel, stride, padding
    ((1, 1), (3, 3), 1, 1),
    ((1, 1), (1, 1), 1, 0),
    ((1, 1), (1, 1), 2, 0),
    ((2, 2), (3, 3), 2, 1),
    ((2, 2), (3, 3), 1, 1),
    ((3, 3), (3, 3), 1, 0),
    ((1, 2), (3, 3), 1, 1),
    ((2, 1), (3, 5), (1, 1), (1, 2)),
    ((1, 1), (7, 7), 2, 3),
    ((4, 4), (4, 4), 4, 0),
]
OTHERS = [
    {"image": (2, 2), "kernel": (1, 1), "stride": 2},  # the one window sees one pixel of four
    {"image": (4, 4), "kernel": (3, 3), "padding": 1},
    {"image": (3, 3), "kernel": (5, 5), "padding": 2},  # nine windows of nine pixels
    {"image": (1, 1), "kernel": (3, 3), "padding": 1, "groups": 2},
    {"image": (2, 2), "kernel": (3, 3), "padding": 2, "dilation": 2},
    {"image": (1, 1), "kernel": (3, 3), "padding": "same"},
    {"image": (2, 2), "kernel": (3, 3), "padding": 2},  # a window at the edge sees one pixel
    {"image": (2, 2), "kernel": (3, 3), "padding": 1, "count": 15},
]


@pytest.fixture
def asked(monkeypatch):
    """For each convolution within `tiny_images`, whether it was a product."""
    found, plain = [], module._product

    def told(*arguments):
        outcome = plain(*arguments)
        found.append(outcome is not None)
        return outcome

    monkeypatch.setattr(module, "_product", told)
    return found


def layer_and_images(image, kernel, bias=True, count=16, **settings):
    """Four channels to six."""
    layer = nn.Conv2d(4, 6, kernel, bias=bias, **settings)
    numbers = torch.Generator().manual_seed(0)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, generator=numbers)
    return layer, torch.randn(count, 4, *image, generator=numbers).requires_grad_()


def outcome(layer, images):
    """Of a convolution: output and all gradients."""
    found = layer(images)
    slopes = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    return [found, *torch.autograd.grad(found, [images, *layer.parameters()], slopes)]


def assert_alike(within, plain):
    for one, other in zip(within, plain, strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("image", "kernel", "stride", "padding"), PRODUCTS)
def test_a_product_is_the_convolution(asked, image, kernel, stride, padding, bias):
    layer, images = layer_and_images(image, kernel, bias, stride=stride, padding=padding)
    plain = outcome(layer, images)
    with tiny_images(layer):
        within = outcome(layer, images)
    assert asked == [True] and "forward" not in vars(layer)
    assert_alike(within, plain)


@pytest.mark.parametrize("case", OTHERS, ids=str)
def test_other_convolutions_are_left_to_torch(asked, case):
    layer, images = layer_and_images(**case)
    plain = outcome(layer, images)
    with tiny_images(layer):
        within = outcome(layer, images)
    assert asked == [False]
    assert all(torch.equal(one, other) for one, other in zip(within, plain, strict=True))


SIDES, TAPS = (st.tuples(*[st.integers(1, most)] * 2) for most in (4, 5))


@given(SIDES, TAPS, st.integers(1, 3), st.integers(0, 3))
def test_whatever_the_shape_the_numbers_are_the_convolutions(image, kernel, stride, padding):
    if any(side + 2 * padding < k for side, k in zip(image, kernel, strict=True)):
        return
    layer, images = layer_and_images(image, kernel, stride=stride, padding=padding)
    plain = outcome(layer, images)
    with tiny_images(layer):
        assert_alike(outcome(layer, images), plain)


class Doubled(nn.Conv2d):
    def forward(self, images):
        return 2 * super().forward(images)


@pytest.mark.parametrize(
    "layer",
    [Doubled(4, 6, 3, padding=1), nn.Conv2d(4, 6, 1, padding=0, padding_mode="reflect"), nn.Conv1d(4, 6, 1)],
    ids=["a forward of its own", "another padding", "other images"],
)
def test_layers_that_compute_something_else_are_left_alone(asked, layer):
    images = torch.randn(16, 4, 1) if isinstance(layer, nn.Conv1d) else torch.randn(16, 4, 1, 1)
    plain = layer(images)
    with tiny_images(layer):
        assert torch.equal(layer(images), plain)
    assert asked == []


def test_an_image_alone_is_left_to_torch(asked):
    layer = nn.Conv2d(4, 6, 3, padding=1)
    with tiny_images(layer):
        assert layer(torch.ones(4, 1, 1)).shape == (6, 1, 1)
    assert asked == [False]


def test_layers_are_as_they_were_when_a_pass_fails():
    layer = nn.Conv2d(4, 6, 3, padding=1)
    with pytest.raises(RuntimeError), tiny_images(layer):
        layer(torch.ones(16, 5, 1, 1))
    assert "forward" not in vars(layer)


def test_a_network_on_digits_has_the_same_gradients(asked):
    network = build("resnet18", classes=10, channels=1, image_size=8)
    for index, parameter in enumerate(network.parameters()):
        nn.init.normal_(parameter, std=0.05, generator=torch.Generator().manual_seed(index))
    images = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))

    def gradients():
        loss = F.cross_entropy(network(images), torch.arange(16) % 10)
        return torch.autograd.grad(loss, list(network.parameters()))

    plain = gradients()
    with tiny_images(network):
        within = gradients()
    # The last two stages: 2x2 three times, to one pixel once, one pixel three times.
    assert asked.count(True) == 7 and len(asked) == 20
    for one, other in zip(within, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)
