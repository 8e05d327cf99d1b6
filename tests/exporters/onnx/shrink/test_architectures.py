"""Networks as torch exports them, most of their weights gone: registered ones, and some that users write."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from recycle_pipeline.exporters.onnx.dense import InputSpec, stamp, to_onnx
from recycle_pipeline.exporters.onnx.shrink import shrink
from recycle_pipeline.models.fold import fold_batch_norm
from recycle_pipeline.models.options import ArchOptions
from recycle_pipeline.models.registry import build

IMAGE = (3, 16, 16)


@torch.no_grad()
def starved(network: nn.Module, density: float) -> nn.Module:
    """Few weights, none in every third filter of a layer, batch norm with constants of its own, folded."""
    generator = torch.Generator().manual_seed(7)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            weight = module.weight
            mask = torch.rand(weight.shape, generator=generator) < density
            if len(weight) > 10:
                mask[::3] = False
            fan = max(1.0, weight[0].numel() * density)
            weight.copy_(torch.randn(weight.shape, generator=generator) * (2 / fan) ** 0.5 * mask)
            if module.bias is not None:
                module.bias.uniform_(-0.2, 0.4, generator=generator)
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(1.5, 3.0, generator=generator)
    return fold_batch_norm(network.eval(), [torch.randn(2, *IMAGE, generator=generator)]).network


def exported(network: nn.Module, embed: bool = False) -> onnx.ModelProto:
    model = to_onnx(network, InputSpec(3, 16, (0.1, 0.4, 0.7), (0.2, 0.3, 0.6), embed))
    stamp(model, {"arch": "any"})
    return model


@pytest.mark.parametrize(
    ("arch", "density", "options"),
    [
        ("resnet18", 0.02, {"width": 0.25, "batch_norm": "learned"}),
        ("resnet50", 0.1, {"width": 0.125}),
        ("resnet20", 0.1, {"batch_norm": "learned"}),
        ("conv4", 0.02, {"width": 0.25}),
        ("vgg_small", 0.02, {"width": 0.125, "batch_norm": "learned"}),
        ("vgg_small_bn", 0.1, {"width": 0.125}),
    ],
)
def test_registered_architectures_become_smaller_and_say_the_same(compared, arch, density, options):
    torch.manual_seed(0)
    network = build(arch, classes=10, channels=3, image_size=16, options=ArchOptions(**options))
    shrunk = compared(exported(starved(network, density)))
    assert shrunk.after.parameters < 0.9 * shrunk.before.parameters
    assert shrunk.after.multiply_adds < 0.9 * shrunk.before.multiply_adds


class Inverted(nn.Module):
    """Depthwise and grouped convolutions, hard-swish, squeeze-and-excitation, a shortcut, an odd stride."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 24, 3, (2, 1), (1, 0), bias=False), nn.BatchNorm2d(24))
        self.expand = nn.Sequential(nn.Conv2d(24, 48, 1, bias=False), nn.BatchNorm2d(48), nn.Hardswish())
        self.depthwise = nn.Sequential(nn.Conv2d(48, 48, 3, padding=1, groups=48), nn.BatchNorm2d(48))
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(48, 12, 1), nn.ReLU6())
        self.excite = nn.Sequential(nn.Conv2d(12, 48, 1), nn.Hardsigmoid())
        self.project = nn.Sequential(nn.Conv2d(48, 24, 1, bias=False), nn.BatchNorm2d(24))
        self.grouped = nn.Conv2d(48, 24, 3, dilation=2, padding=2, groups=4)
        self.head = nn.Linear(24, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = nn.functional.silu(self.stem(images))
        y = self.depthwise(self.expand(x))
        y = y * self.excite(self.squeeze(y))
        x = x + self.project(y)
        x = nn.functional.gelu(self.grouped(torch.cat([x, torch.relu(x)], 1)))
        return self.head(x.mean((2, 3)))


def test_a_users_network_of_depthwise_and_grouped_convolutions(compared):
    torch.manual_seed(0)
    shrunk = compared(exported(starved(Inverted(), 0.2)))
    assert shrunk.after.parameters < 0.8 * shrunk.before.parameters


def test_preprocessing_inside_the_graph_stays_and_so_do_names_and_metadata(run_it):
    """Over all pixel values; the model takes uint8."""
    torch.manual_seed(0)
    options = ArchOptions(width=0.125)
    network = starved(build("vgg_small_bn", classes=10, channels=3, image_size=16, options=options), 0.05)
    model = exported(network, embed=True)
    shrunk = shrink(model)
    assert shrunk.changed
    for field in ("input", "output"):
        assert getattr(shrunk.model.graph, field) == getattr(model.graph, field)
    assert shrunk.model.metadata_props == model.metadata_props
    assert (shrunk.model.ir_version, shrunk.model.opset_import) == (model.ir_version, model.opset_import)
    pixels = np.random.default_rng(0).integers(0, 256, (32, *IMAGE), dtype=np.uint8)
    for batch in (pixels[:1], pixels):
        (expected,), (found,) = run_it(model, batch), run_it(shrunk.model, batch)
        assert np.abs(expected - found).max() <= 1e-5
        assert np.abs(expected).max() > 0.05


def test_signs_are_the_same_but_where_rounding_decides_them(run_it):
    """Networks of signs: nearly all images to the last digits, as between torch and ONNX Runtime."""
    torch.manual_seed(0)
    options = ArchOptions(width=0.5, activations="binary", batch_norm="learned")
    network = build("conv4", classes=10, channels=3, image_size=16, options=options)
    model = exported(starved(network, 0.1))
    shrunk = shrink(model)
    assert shrunk.after.filters < shrunk.before.filters
    images = np.random.default_rng(0).normal(size=(200, *IMAGE)).astype(np.float32)
    (expected,), (found,) = run_it(model, images), run_it(shrunk.model, images)
    assert (np.abs(expected - found).max(1) <= 1e-4).mean() >= 0.99


def test_a_model_without_onnxruntimes_own_optimizations_says_the_same(run_it):
    torch.manual_seed(0)
    network = build("resnet20", classes=10, channels=3, image_size=16)
    model = exported(starved(network, 0.05))
    images = np.random.default_rng(0).normal(size=(4, *IMAGE)).astype(np.float32)
    (expected,), (found,) = run_it(model, images, False), run_it(shrink(model).model, images, False)
    assert np.abs(expected - found).max() <= 1e-5 * max(1.0, np.abs(expected).max())
