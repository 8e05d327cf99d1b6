"""Folding batch norms: logits stay, batch norms go, and what cannot be folded is left alone."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from recycle_pipeline.models.fold import fold_batch_norm, largest_difference
from recycle_pipeline.models.options import ArchOptions
from recycle_pipeline.models.registry import ARCHITECTURES, build

IMAGES = torch.randn((4, 3, 16, 16), generator=torch.Generator().manual_seed(0))
RESNETS = {"resnet18": 20, "resnet34": 36, "resnet50": 53, "resnet20": 21, "resnet32": 33, "resnet44": 45}
BATCH_NORMS = RESNETS | {"resnet56": 57, "resnet110": 111, "vgg_small": 3, "vgg_small_bn": 6}


def batch_norms(network):
    return [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


def state(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def assert_same_state(network, before):
    assert network.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_architecture_folds_to_the_same_logits(arch, with_statistics):
    """Tolerance: each folded layer rounds its weight anew (6e-8 relative), over up to 37 layers."""
    network = with_statistics(build(arch, classes=10, channels=3, image_size=16))
    before = state(network)
    folded = fold_batch_norm(network, [IMAGES])
    with torch.no_grad():
        logits = network(IMAGES)
    expected = BATCH_NORMS.get(arch, 0)
    assert (folded.batch_norms, folded.reason) == (expected, "")
    assert len(batch_norms(folded.network)) == 0
    assert len(batch_norms(network)) == expected
    assert not folded.network.training
    limit = 1e-5 * float(logits.abs().max()) if expected else 0.0
    assert largest_difference(network, folded.network, IMAGES) <= limit
    assert logits.std() > 0.1 * logits.abs().max()  # or the comparison would be empty
    assert_same_state(network, before)


@pytest.mark.parametrize("arch", ["resnet20", "resnet50", "vgg_small_bn"])
def test_learned_gamma_and_beta_fold_as_well(arch, with_statistics):
    options = ArchOptions(batch_norm="learned")
    network = with_statistics(build(arch, classes=10, channels=3, image_size=16, options=options))
    folded = fold_batch_norm(network, [IMAGES])
    assert (folded.batch_norms, len(batch_norms(folded.network))) == (BATCH_NORMS[arch], 0)
    with torch.no_grad():
        limit = 1e-5 * float(network(IMAGES).abs().max())
    assert largest_difference(network, folded.network, IMAGES) <= limit


def test_folded_layers_hold_what_numpy_gives(with_statistics):
    """w / sqrt(var + eps) and -mean / sqrt(var + eps), for a batch norm without gamma and beta."""
    conv, norm = nn.Conv2d(3, 5, 3, bias=False), nn.BatchNorm2d(5, affine=False)
    folded = fold_batch_norm(with_statistics(nn.Sequential(conv, norm)), [IMAGES]).network
    (layer,) = (m for m in folded.modules() if isinstance(m, nn.Conv2d))
    factor = 1 / (norm.running_var.double() + norm.eps).sqrt()
    torch.testing.assert_close(layer.weight.double(), conv.weight.double() * factor.reshape(-1, 1, 1, 1))
    torch.testing.assert_close(layer.bias.double(), -norm.running_mean.double() * factor)


def test_the_folded_network_shares_no_memory_with_the_network(with_statistics):
    network = with_statistics(nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.BatchNorm2d(5)))
    folded = fold_batch_norm(network, [IMAGES]).network
    with torch.no_grad():
        for value in folded.state_dict().values():
            value.zero_()
    assert network[0].weight.any() and network[2].running_var.any()


@pytest.mark.parametrize(
    "affine",
    [
        True,
        pytest.param(False),
    ],
)
def test_a_linear_layer_folds_like_a_convolution(affine, with_statistics):
    layers = (nn.Flatten(), nn.Linear(768, 8), nn.BatchNorm1d(8, affine=affine), nn.ReLU(), nn.Linear(8, 10))
    network = with_statistics(nn.Sequential(*layers))
    folded = fold_batch_norm(network, [IMAGES])
    assert folded.batch_norms == 1 and not batch_norms(folded.network)
    assert largest_difference(network, folded.network, IMAGES) < 1e-5


def test_a_batch_norm_behind_something_else_stays(with_statistics):
    network = with_statistics(
        nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.BatchNorm2d(5), nn.Conv2d(5, 2, 3))
    )
    folded = fold_batch_norm(network, [IMAGES])
    assert folded.batch_norms == 0 and len(batch_norms(folded.network)) == 1
    assert largest_difference(network, folded.network, IMAGES) == 0


class Twice(nn.Module):
    """Its convolution is called twice, with a batch norm behind the second call alone."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

    def forward(self, x):
        return self.norm(self.conv(self.conv(x).relu()))


class TwoNames(nn.Module):
    """One convolution under two names."""

    def __init__(self):
        super().__init__()
        self.a, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.b = self.a

    def forward(self, x):
        return self.norm(self.b(self.a(x).relu()))


class Branched(nn.Module):
    """What its convolution gives is used with and without the batch norm."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)

    def forward(self, x):
        x = self.conv(x)
        return x + self.norm(x)


class Untraceable(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)

    def forward(self, x):
        x = self.norm(self.conv(x))
        if x.mean() > 0:
            x = -x
        return x


@pytest.mark.parametrize(
    ("network_type", "reason"),
    [
        (Twice, "called more than once"),
        (TwoNames, "called more than once"),
        (Untraceable, "torch.fx cannot fold it: "),
    ],
)
def test_a_network_that_folding_would_change_is_left_unfolded_with_a_reason(
    network_type, reason, with_statistics
):
    network = with_statistics(network_type())
    before = state(network)
    folded = fold_batch_norm(network, [IMAGES])
    assert folded.batch_norms == 0 and reason in folded.reason
    assert len(batch_norms(folded.network)) == 1
    assert folded.network is not network
    assert largest_difference(network, folded.network, IMAGES) == 0
    assert_same_state(network, before)
    assert_same_state(folded.network, before)


def pooled(pool, **conv):
    return nn.Sequential(nn.Conv2d(3, 5, 3, **conv), pool, nn.BatchNorm2d(5), nn.ReLU())


@pytest.mark.parametrize(
    "pool", [nn.MaxPool2d(2), nn.MaxPool2d(3, 2, padding=1), nn.MaxPool2d(3, 1)], ids=str
)
def test_a_batch_norm_behind_a_max_pool_folds_unless_a_gamma_turns_the_order_round(pool, with_statistics):
    network = with_statistics(pooled(pool))
    folded = fold_batch_norm(network, [IMAGES])
    assert folded.batch_norms == 1 and largest_difference(network, folded.network, IMAGES) < 1e-5
    with torch.no_grad():
        network[2].weight[3] = -0.01
    folded = fold_batch_norm(network, [IMAGES])
    assert (folded.batch_norms, folded.reason, folded.difference) == (0, "", 0)


class PoolUsedTwice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.pool, self.norm = nn.Conv2d(3, 3, 3), nn.MaxPool2d(2), nn.BatchNorm2d(3)

    def forward(self, x):
        x = self.pool(self.conv(x))
        return x + self.norm(x)


class ConvUsedTwice(PoolUsedTwice):
    def forward(self, x):
        x = self.conv(x)
        return self.norm(self.pool(x)).mean() + x


@pytest.mark.parametrize(
    "make",
    [PoolUsedTwice, ConvUsedTwice, lambda: pooled(nn.AvgPool2d(2))],
    ids=["pool used twice", "convolution used twice", "average"],
)
def test_other_batch_norms_behind_a_pool_stay(make, with_statistics):
    network = with_statistics(make())
    folded = fold_batch_norm(network, [IMAGES])
    assert (folded.batch_norms, folded.reason, folded.difference) == (0, "", 0)


class Flips(nn.Module):
    """Its convolution gives sums that are 0 but for rounding; their signs are the logits of one image."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1, affine=False)
        self.norm.running_mean.fill_(0.1)
        self.norm.running_var.fill_(0.3)
        nn.init.constant_(self.conv.weight, 0.7)

    def forward(self, x):
        return self.norm(self.conv(x)).sign().flatten(1)


def at_the_threshold():
    """49 images far from it and one for which folding flips a sign, each (1, 1, 1, 1)."""
    network, values = Flips().eval(), torch.full((50, 1, 1, 1), 2.0)
    folded = fuse_conv_bn_eval(network.conv, network.norm)
    near = torch.nextafter(torch.tensor(0.1 / 0.7), torch.tensor(1.0)) + torch.arange(-40, 40) * 1.5e-8
    for value in near.reshape(-1, 1, 1, 1, 1):
        if not torch.equal(network(value), folded(value).sign().flatten(1)):
            values[7] = value
            return network, values
    raise AssertionError("no value is flipped by folding")


def test_a_flipped_sign_is_taken_where_a_share_of_the_images_is_asked_for():
    network, images = at_the_threshold()
    with torch.no_grad():
        refused = fold_batch_norm(network, [images])
        taken = fold_batch_norm(network, [images], min_agreement=0.98)
    assert refused.batch_norms == 0 and "it would change logits by" in refused.reason
    assert (taken.batch_norms, taken.reason) == (1, "") and taken.difference >= 1
    assert fold_batch_norm(network, [images], min_agreement=0.99).batch_norms == 0


def test_an_output_that_is_used_twice_keeps_its_batch_norm(with_statistics):
    network = with_statistics(Branched())
    folded = fold_batch_norm(network, [IMAGES])
    assert folded.batch_norms == 0
    assert largest_difference(network, folded.network, IMAGES) == 0


def test_a_batch_norm_without_running_statistics_stays():
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5, track_running_stats=False)).eval()
    folded = fold_batch_norm(network, [IMAGES])
    assert folded.batch_norms == 0
    assert largest_difference(network, folded.network, IMAGES) == 0


class Borrowed(nn.Module):
    """The weight of its convolution is read once more, past the module."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

    def forward(self, x):
        return F.conv2d(self.norm(self.conv(x)), self.conv.weight)


class Tokens(nn.Module):
    """Linear over the last dimension, batch norm over the one before: not one affine map per channel."""

    def __init__(self, features):
        super().__init__()
        self.linear, self.norm = nn.Linear(16, features), nn.BatchNorm1d(48)

    def forward(self, x):
        return self.norm(self.linear(x.reshape(-1, 48, 16)))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(Borrowed),
        pytest.param(lambda: Tokens(48)),
        pytest.param(lambda: Tokens(8)),
    ],
    ids=["weight read past its module", "batch norm over tokens, square", "batch norm over tokens"],
)
def test_folding_never_changes_the_function(make, with_statistics):
    network = with_statistics(make())
    folded = fold_batch_norm(network, [IMAGES])
    assert largest_difference(network, folded.network, IMAGES) < 1e-5


def test_largest_difference_is_the_largest_over_all_logits():
    a, b = nn.Linear(2, 3, bias=False), nn.Linear(2, 3, bias=False)
    with torch.no_grad():
        a.weight.zero_()
        b.weight.copy_(torch.tensor([[0.0, 1.0], [-4.0, 0.0], [0.5, 0.5]]))
    assert largest_difference(a, b, torch.eye(2)) == largest_difference(b, a, torch.eye(2)) == 4.0
    assert largest_difference(a, a, torch.eye(2)) == 0.0
