"""Convolutions of tiny images as products: what torch's convolutions give, forward and backward."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from recycle_pipeline.models.registry import build
from recycle_pipeline.pipeline.search import tiny_images
from recycle_pipeline.pipeline.search.tiny_images import TinyImages

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
    """For each convolution within `TinyImages`, whether it was a product."""
    found, plain = [], tiny_images._product

    def told(*arguments):
        outcome = plain(*arguments)
        found.append(outcome is not None)
        return outcome

    monkeypatch.setattr(tiny_images, "_product", told)
    return found


def tensors(image, kernel, groups=1, bias=True, count=16):
    numbers = torch.Generator().manual_seed(0)
    shapes = [(count, 4, *image), (6, 4 // groups, *kernel), *([(6,)] if bias else [])]
    return [torch.randn(shape, generator=numbers).requires_grad_() for shape in shapes]


def outcome(parts, **settings):
    """Of a convolution: output and all gradients."""
    images, weight, *bias = parts
    found = F.conv2d(images, weight, *(bias or [None]), *settings.values())
    slopes = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    return [found, *torch.autograd.grad(found, parts, slopes)]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("image", "kernel", "stride", "padding"), PRODUCTS)
def test_a_product_is_the_convolution(asked, image, kernel, stride, padding, bias):
    parts = tensors(image, kernel, bias=bias)
    plain = outcome(parts, stride=stride, padding=padding)
    with TinyImages():
        products = outcome(parts, stride=stride, padding=padding)
    assert asked == [True]
    for one, other in zip(products, plain, strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", OTHERS, ids=str)
def test_other_convolutions_are_left_to_torch(asked, case):
    case = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1} | case
    count = case.pop("count", 16)
    parts = tensors(case.pop("image"), case.pop("kernel"), case["groups"], count=count)
    plain = outcome(parts, **case)
    with TinyImages():
        within = outcome(parts, **case)
    assert asked == [False]
    assert all(torch.equal(one, other) for one, other in zip(within, plain, strict=True))


SIDES, TAPS = (st.tuples(*[st.integers(1, most)] * 2) for most in (4, 5))


@given(SIDES, TAPS, st.integers(1, 3), st.integers(0, 3))
def test_whatever_the_shape_the_numbers_are_the_convolutions(image, kernel, stride, padding):
    if any(side + 2 * padding < k for side, k in zip(image, kernel, strict=True)):
        return
    parts = tensors(image, kernel)
    plain = outcome(parts, stride=stride, padding=padding)
    with TinyImages():
        within = outcome(parts, stride=stride, padding=padding)
    for one, other in zip(within, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_an_image_alone_and_named_arguments_are_left_to_torch(asked):
    layer = nn.Conv2d(4, 6, 3, padding=1)
    with TinyImages():
        assert layer(torch.ones(4, 1, 1)).shape == (6, 1, 1)
        named = F.conv2d(input=torch.ones(1, 4, 1, 1), weight=layer.weight, padding=1)
    assert named.shape == (1, 6, 1, 1) and asked == [False]


def test_a_network_on_digits_has_the_same_gradients(asked):
    network = build("resnet18", classes=10, channels=1, image_size=8)
    for index, parameter in enumerate(network.parameters()):
        nn.init.normal_(parameter, std=0.05, generator=torch.Generator().manual_seed(index))
    images = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))

    def gradients():
        loss = F.cross_entropy(network(images), torch.arange(16) % 10)
        return torch.autograd.grad(loss, list(network.parameters()))

    plain = gradients()
    with TinyImages():
        within = gradients()
    # The last two stages: 2x2 three times, to one pixel once, one pixel three times.
    assert asked.count(True) == 7 and len(asked) == 20
    for one, other in zip(within, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)
