"""Architectures: published weight counts, masked layers, shapes, and what is refused.

Built on the meta device: shapes without memory or arithmetic.
"""

import inspect

import pytest
import torch
from torch import nn

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.models.maskable import check_network, maskable_layers
from recycle_pipeline.models.registry import ARCHITECTURES, build
from recycle_pipeline.models.resnet import BasicBlock

META = torch.device("meta")
CONV6 = (1728, 36864, 73728, 147456, 294912, 589824, 1048576, 65536, 2560)


def meta(arch, classes=10, channels=3, image_size=32):
    with META:
        return build(arch, classes=classes, channels=channels, image_size=image_size).eval()


@pytest.mark.parametrize(
    ("arch", "classes", "weights", "layers"),
    [
        ("conv2", 10, 4_300_992, 5),
        ("conv4", 10, 2_425_024, 7),
        ("conv6", 10, 2_261_184, 9),
        ("conv8", 10, 5_275_840, 11),
        ("resnet18", 10, 11_164_352, 21),
        ("resnet18", 100, 11_210_432, 21),
        ("resnet34", 10, 21_265_088, 37),
    ],
)
def test_weights_and_masked_layers_are_as_many_as_published(arch, classes, weights, layers):
    network = meta(arch, classes)
    masked = maskable_layers(network)
    assert sum(layer.weight.numel() for layer in masked.values()) == weights
    assert sum(p.numel() for p in network.parameters()) == weights  # nothing else is a parameter
    assert len(masked) == layers


def test_imagenet_resnet18_has_its_published_weights():
    assert sum(p.numel() for p in meta("resnet18", 1000, 3, 224).parameters()) == 11_678_912


def test_conv6_layers_have_the_published_sizes_in_order():
    assert tuple(layer.weight.numel() for layer in maskable_layers(meta("conv6")).values()) == CONV6


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_builder_takes_the_three_keywords(arch):
    assert list(inspect.signature(ARCHITECTURES[arch]).parameters) == ["classes", "channels", "image_size"]


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize(
    ("classes", "channels", "image_size"), [(10, 3, 32), (2, 1, 28), (7, 1, 17), (100, 3, 96)]
)
def test_every_architecture_maps_images_to_logits(arch, classes, channels, image_size):
    network = meta(arch, classes, channels, image_size)
    images = torch.zeros(2, channels, image_size, image_size, device=META)
    assert network(images).shape == (2, classes)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_architecture_has_neither_biases_nor_affine_batch_norms(arch):
    network = meta(arch)
    assert all(layer.bias is None for layer in maskable_layers(network).values())
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert not any(norm.affine for norm in norms) and all(norm.track_running_stats for norm in norms)
    assert len(norms) == {"resnet18": 20, "resnet34": 36}.get(arch, 0)


def test_resnet18_has_4800_batch_norm_channels():
    assert sum(m.num_features for m in meta("resnet18").modules() if isinstance(m, nn.BatchNorm2d)) == 4800


@pytest.mark.parametrize(
    ("image_size", "kernel", "side", "last"),
    [(8, 3, 8, 1), (32, 3, 32, 4), (64, 3, 64, 8), (65, 7, 17, 3), (224, 7, 56, 7)],
)
def test_the_stem_depends_on_the_image(image_size, kernel, side, last):
    """3x3 of stride 1 up to 64 px; above, 7x7 of stride 2 and a max-pool of stride 2."""
    network = meta("resnet18", 10, 3, image_size)
    x = network.stem(torch.zeros(2, 3, image_size, image_size, device=META))
    assert network.stem.conv.kernel_size == (kernel, kernel)
    assert x.shape == (2, 64, side, side)
    x = network.layer4(network.layer3(network.layer2(network.layer1(x))))
    assert x.shape == (2, 512, last, last)


def test_a_block_is_the_post_activation_one(with_statistics):
    """relu(bn2(conv2(relu(bn1(conv1 x)))) + projection), with torch's functions in place of modules."""
    network = with_statistics(build("resnet18", classes=2, channels=1, image_size=8))
    block, x = network.layer2[0], torch.randn(2, 64, 8, 8)

    def norm(y, bn):
        return (y - bn.running_mean.reshape(-1, 1, 1)) / (bn.running_var.reshape(-1, 1, 1) + bn.eps).sqrt()

    conv = nn.functional.conv2d
    inner = norm(conv(x, block.conv1.weight, stride=2, padding=1), block.bn1).relu()
    projected = norm(conv(x, block.shortcut.conv.weight, stride=2), block.shortcut.bn)
    expected = (norm(conv(inner, block.conv2.weight, padding=1), block.bn2) + projected).relu()
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-4)
    assert isinstance(network.layer1[0].shortcut, nn.Identity)


@pytest.mark.parametrize(("stride", "outputs"), [(1, 8), (2, 4), (2, 8)])
def test_a_shortcut_is_projected_where_the_shape_changes(stride, outputs):
    block = BasicBlock(4, outputs, stride)
    assert block(torch.zeros(2, 4, 6, 6)).shape == (2, outputs, 6 // stride, 6 // stride)
    assert block.shortcut.conv.weight.shape == (outputs, 4, 1, 1)


def test_a_conv_net_is_pairs_of_convolutions_then_three_linear_layers():
    kinds = [type(m).__name__ for m in meta("conv4")]
    pair = ["Conv2d", "ReLU", "Conv2d", "ReLU", "MaxPool2d"]
    assert kinds == [*pair, *pair, "Flatten", "Linear", "ReLU", "Linear", "ReLU", "Linear"]


@pytest.mark.parametrize(("arch", "smallest"), [("conv2", 2), ("conv4", 4), ("conv6", 8), ("conv8", 16)])
def test_an_image_too_small_for_the_pools_is_refused(arch, smallest):
    assert meta(arch, 10, 1, smallest)(torch.zeros(1, 1, smallest, smallest, device=META)).shape == (1, 10)
    with pytest.raises(
        UsageFault, match=f"{arch} halves .* needs at least {smallest} px, got {smallest - 1} px; use"
    ):
        meta(arch, 10, 1, smallest - 1)


def test_conv8_on_digits_of_8_px_is_refused():
    with pytest.raises(UsageFault, match="conv8 halves the image 4 times and needs at least 16 px, got 8 px"):
        build("conv8", classes=10, channels=1, image_size=8)


@pytest.mark.parametrize("arch", ["conv2", "resnet18"])
def test_registered_architectures_pass_the_check_for_custom_ones(arch):
    check_network(build(arch, classes=10, channels=1, image_size=8), 10, 1, 8)
