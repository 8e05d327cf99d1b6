"""Architectures: published weight counts at every width, masked layers, shapes, and what is refused.

Built on the meta device: shapes without memory or arithmetic.
"""

import inspect

import pytest
import torch
from torch import nn

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.models.maskable import check_network, maskable_layers
from recycle_pipeline.models.options import ArchOptions
from recycle_pipeline.models.registry import ARCHITECTURES, WITHOUT_BATCH_NORM, build, find_builder
from recycle_pipeline.models.resnet import BasicBlock, Bottleneck

META = torch.device("meta")
CONV6 = (1728, 36864, 73728, 147456, 294912, 589824, 1048576, 65536, 2560)
VGG_SMALL = (3456, 147456, 294912, 589824, 1179648, 2359296, 81920)
BATCH_NORMS = {
    "resnet18": 20,
    "resnet34": 36,
    "resnet50": 53,
    "resnet20": 21,
    "resnet32": 33,
    "resnet44": 45,
    "resnet56": 57,
    "resnet110": 111,
    "vgg_small": 3,
    "vgg_small_bn": 6,
}
BINARY_LEARNED = {"activations": "binary", "batch_norm": "learned"}


def meta(arch, classes=10, channels=3, image_size=32, **options):
    size = {"classes": classes, "channels": channels, "image_size": image_size}
    with META:
        return build(arch, **size, options=ArchOptions(**options)).eval()


def norms(network):
    return [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


def count(network):
    return sum(p.numel() for p in network.parameters())


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
        ("resnet34", 100, 21_311_168, 37),
        ("resnet50", 10, 23_467_712, 54),
        ("resnet50", 100, 23_652_032, 54),
        ("resnet20", 10, 270_896, 22),
        ("resnet20", 100, 276_656, 22),
        ("resnet32", 10, 464_432, 34),
        ("resnet44", 10, 657_968, 46),
        ("resnet56", 10, 851_504, 58),
        ("resnet110", 10, 1_722_416, 112),
        ("vgg_small", 10, 4_656_512, 7),
        ("vgg_small", 100, 5_393_792, 7),
        ("vgg_small_bn", 10, 4_656_512, 7),
        ("conv6", 100, 2_284_224, 9),
    ],
)
def test_weights_and_masked_layers_are_as_many_as_published(arch, classes, weights, layers):
    network = meta(arch, classes)
    masked = maskable_layers(network)
    assert sum(layer.weight.numel() for layer in masked.values()) == weights
    assert sum(p.numel() for p in network.parameters()) == weights  # nothing else is a parameter
    assert len(masked) == layers


@pytest.mark.parametrize(("arch", "weights"), [("resnet18", 11_678_912), ("resnet50", 25_502_912)])
def test_imagenet_resnets_have_their_published_weights(arch, weights):
    assert count(meta(arch, 1000, 3, 224)) == weights


@pytest.mark.parametrize(
    ("arch", "width", "weights"),
    [
        ("conv2", 0.1, 39_761),
        ("conv2", 0.25, 269_616),
        ("conv2", 0.5, 1_076_320),
        ("conv2", 2.0, 17_195_392),
        ("conv4", 0.1, 22_505),
        ("conv4", 0.25, 152_368),
        ("conv4", 0.5, 607_328),
        ("conv4", 2.0, 9_691_520),
        ("conv6", 0.1, 21_630),
        ("conv6", 0.25, 142_128),
        ("conv6", 0.5, 566_368),
        ("conv6", 2.0, 9_036_160),
        ("conv8", 0.1, 51_614),
        ("conv8", 0.25, 330_544),
        ("conv8", 0.5, 1_320_032),
        ("conv8", 2.0, 21_094_784),
        ("resnet18", 0.25, 708_288),
        ("resnet18", 0.5, 2_804_928),
        ("resnet18", 2.0, 44_576_448),
        ("resnet34", 0.25, 1_339_584),
        ("resnet34", 0.5, 5_330_112),
        ("resnet34", 2.0, 84_979_392),
        ("vgg_small_bn", 1.25, 7_249_120),
    ],
)
def test_weights_at_a_width_are_as_many_as_published(arch, width, weights):
    """ResNets with a stem of 64 channels at every width, as IteRand's counts need."""
    assert count(meta(arch, width=width)) == weights


def test_a_width_cuts_channels_and_hidden_units_to_integers():
    network = meta("conv4", width=0.1)
    assert [m.out_channels for m in network if isinstance(m, nn.Conv2d)] == [6, 6, 12, 12]
    assert [m.out_features for m in network if isinstance(m, nn.Linear)] == [25, 25, 10]


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_width_leaves_the_layers_of_every_architecture_and_their_names(arch):
    names = list(maskable_layers(meta(arch)))
    assert set(maskable_layers(meta(arch, width=0.5))) >= set(names)
    network = meta(arch, width=0.5)
    assert network(torch.zeros(2, 3, 32, 32, device=META)).shape == (2, 10)


@pytest.mark.parametrize(("arch", "narrowest"), [("conv2", 64), ("resnet18", 64), ("resnet20", 16)])
def test_a_width_that_leaves_a_layer_nothing_is_refused(arch, narrowest):
    assert count(meta(arch, width=1 / narrowest)) > 0
    with pytest.raises(
        UsageFault, match=f"--width 0.01 leaves nothing of a layer of {narrowest} channels; expected at least"
    ):
        meta(arch, width=0.01)


def test_vgg_small_layers_have_the_published_sizes_in_order():
    for arch in ("vgg_small", "vgg_small_bn"):
        assert tuple(layer.weight.numel() for layer in maskable_layers(meta(arch)).values()) == VGG_SMALL


def test_conv6_layers_have_the_published_sizes_in_order():
    assert tuple(layer.weight.numel() for layer in maskable_layers(meta("conv6")).values()) == CONV6


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_builder_takes_the_four_keywords(arch):
    keywords = ["classes", "channels", "image_size", "options"]
    assert list(inspect.signature(find_builder(arch)).parameters) == keywords


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
    found = norms(network)
    assert not any(norm.affine for norm in found) and all(norm.track_running_stats for norm in found)
    assert len(found) == BATCH_NORMS.get(arch, 0)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_learned_batch_norms_add_gamma_and_beta_and_nothing_else(arch):
    plain, learned = meta(arch, activations="binary"), meta(arch, **BINARY_LEARNED)
    assert all(norm.affine for norm in norms(learned))
    features = sum(norm.num_features for norm in norms(learned))
    assert features > 0 and count(learned) == count(plain) + 2 * features


@pytest.mark.parametrize(("arch", "features"), [("resnet18", 4800), ("resnet34", 8512), ("resnet50", 26_560)])
def test_batch_norms_have_as_many_channels_as_published(arch, features):
    assert sum(norm.num_features for norm in norms(meta(arch))) == features


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("image_size", [32, 96])
def test_every_architecture_maps_images_to_logits_through_signs(arch, image_size):
    network = meta(arch, 7, 1, image_size, width=0.5, **BINARY_LEARNED)
    assert network(torch.zeros(2, 1, image_size, image_size, device=META)).shape == (2, 7)
    assert not any(isinstance(m, nn.ReLU) for m in network.modules()) or arch.startswith("vgg_small")


@pytest.mark.parametrize("arch", WITHOUT_BATCH_NORM)
def test_learned_batch_norm_is_refused_where_there_is_none(arch):
    with pytest.raises(
        UsageFault, match=rf"--batch-norm learned: {arch} has no batch norm, unless --activations binary"
    ):
        meta(arch, batch_norm="learned")


def test_binary_activations_leave_the_masked_layers_as_they_are():
    """Names and shapes, so that the same seed draws the same weights."""
    for arch in ARCHITECTURES:
        plain, binary = maskable_layers(meta(arch)), maskable_layers(meta(arch, **BINARY_LEARNED))
        assert [(n, m.weight.shape) for n, m in plain.items()] == [
            (n, m.weight.shape) for n, m in binary.items()
        ]


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


def test_a_block_of_signs_takes_the_sign_after_the_addition_too(with_statistics):
    options = ArchOptions(**BINARY_LEARNED)
    block = with_statistics(BasicBlock(3, 3, 1, options))
    x = torch.randn(2, 3, 8, 8)
    inner = block.bn1(block.conv1(x)).sign()
    assert torch.equal(block(x), (block.bn2(block.conv2(inner)) + x).sign())


def test_a_bottleneck_is_the_post_activation_one(with_statistics):
    block, x = with_statistics(Bottleneck(8, 4, 2)), torch.randn(2, 8, 6, 6)
    inner = block.bn1(block.conv1(x)).relu()
    inner = block.bn2(block.conv2(inner)).relu()
    expected = (block.bn3(block.conv3(inner)) + block.shortcut(x)).relu()
    assert torch.equal(block(x), expected) and block(x).shape == (2, 16, 3, 3)
    assert (block.conv1.stride, block.conv2.stride, block.conv3.stride) == ((1, 1), (2, 2), (1, 1))


@pytest.mark.parametrize("activations", ["relu", "binary"])
def test_the_large_stem_pools_signs_before_they_are_taken(activations):
    kinds = [type(m).__name__ for m in meta("resnet18", 10, 3, 224, activations=activations).stem]
    last = {"relu": ["ReLU", "MaxPool2d"], "binary": ["MaxPool2d", "BinaryActivation"]}[activations]
    assert kinds == ["Conv2d", "BatchNorm2d", *last]


@pytest.mark.parametrize(("stride", "outputs"), [(1, 8), (2, 4), (2, 8)])
def test_a_shortcut_is_projected_where_the_shape_changes(stride, outputs):
    block = BasicBlock(4, outputs, stride)
    assert block(torch.zeros(2, 4, 6, 6)).shape == (2, outputs, 6 // stride, 6 // stride)
    assert block.shortcut.conv.weight.shape == (outputs, 4, 1, 1)


def test_a_conv_net_is_pairs_of_convolutions_then_three_linear_layers():
    kinds = [type(m).__name__ for m in meta("conv4")]
    pair = ["Conv2d", "ReLU", "Conv2d", "ReLU", "MaxPool2d"]
    assert kinds == [*pair, *pair, "Flatten", "Linear", "ReLU", "Linear", "ReLU", "Linear"]


def test_a_conv_net_of_signs_has_batch_norm_behind_the_pool_and_before_the_sign():
    kinds = [type(m).__name__ for m in meta("conv4", activations="binary")]
    single = ["Conv2d", "BatchNorm2d", "BinaryActivation"]
    pooled = ["Conv2d", "MaxPool2d", "BatchNorm2d", "BinaryActivation"]
    hidden = ["Linear", "BatchNorm1d", "BinaryActivation"]
    assert kinds == [*single, *pooled, *single, *pooled, "Flatten", *hidden, *hidden, "Linear"]


SPARSE = "Conv ReLU Conv Pool Norm Conv Conv Pool Norm Conv Conv Pool Norm ReLU Flatten Linear"
FULL = " ".join(["Conv Norm ReLU Conv Pool Norm ReLU"] * 3) + " Flatten Linear"
FULL_SIGNS = FULL.replace("ReLU", "Sign", 5)


@pytest.mark.parametrize(
    ("arch", "activations", "expected"),
    [
        ("vgg_small", "relu", SPARSE),
        ("vgg_small", "binary", FULL_SIGNS),
        ("vgg_small_bn", "relu", FULL),
        ("vgg_small_bn", "binary", FULL_SIGNS),
    ],
)
def test_vgg_small_has_the_published_order_oddities_included(arch, activations, expected):
    short = {"Conv2d": "Conv", "MaxPool2d": "Pool", "BatchNorm2d": "Norm", "BinaryActivation": "Sign"}
    kinds = [type(m).__name__ for m in meta(arch, activations=activations)]
    assert " ".join(short.get(kind, kind) for kind in kinds) == expected


@pytest.mark.parametrize(
    ("arch", "smallest"),
    [("conv2", 2), ("conv4", 4), ("conv6", 8), ("conv8", 16), ("vgg_small", 8), ("vgg_small_bn", 8)],
)
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
