"""Assembling: a subnetwork as a plain network, and what is refused."""

import dataclasses
import sys

import numpy as np
import pytest
import torch

from recycle_pipeline.models.assemble import assemble
from recycle_pipeline.models.errors import CorruptArtefact, UsageFault
from recycle_pipeline.models.maskable import maskable_layers
from recycle_pipeline.models.registry import build
from recycle_pipeline.models.subnetwork import MaskedTensor, Subnetwork


def subnetwork_of(arch, image_size=8, import_custom=False):
    """Half of every layer kept, and random batch-norm statistics."""
    rng = np.random.default_rng(0)
    network = build(arch, classes=3, channels=1, image_size=image_size, import_custom=import_custom)
    tensors = tuple(
        MaskedTensor(name, "kaiming_uniform", np.float32(0.1), rng.random(tuple(layer.weight.shape)) < 0.5)
        for name, layer in maskable_layers(network).items()
    )
    masked = {f"{t.name}.weight" for t in tensors}
    state = {
        name: rng.random(tuple(value.shape), np.float32)
        for name, value in network.state_dict().items()
        if name not in masked and not name.endswith("num_batches_tracked")
    }
    return Subnetwork(
        arch, ("x", "y", "z"), 1, image_size, (0.5,), (0.5,), 5, "continuous", 0.5, "layer", tensors, state
    )


@pytest.fixture(scope="module")
def conv2():
    return subnetwork_of("conv2")


def with_arrays(subnetwork, remove=None, **changed):
    arrays = {**subnetwork.arrays(), **changed}
    arrays.pop(remove, None)
    return arrays


@pytest.mark.parametrize("arch", ["conv2", "resnet18"])
def test_the_network_holds_the_arrays_of_the_subnetwork_and_nothing_else(arch):
    subnetwork = subnetwork_of(arch)
    network, arrays = assemble(subnetwork), subnetwork.arrays()
    held = {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    assert held.keys() == arrays.keys()
    for name, value in held.items():
        np.testing.assert_array_equal(value.numpy(), arrays[name], err_msg=name)


def test_it_is_in_eval_mode_float32_and_without_gradients(conv2):
    network = assemble(conv2)
    assert not any(module.training for module in network.modules())
    assert not any(p.requires_grad for p in network.parameters())
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 3)


def test_arrays_that_the_caller_has_already_are_used(conv2):
    arrays = {name: array * 2 for name, array in conv2.arrays().items()}
    state = assemble(conv2, arrays=arrays).state_dict()
    np.testing.assert_array_equal(state["linear3.weight"].numpy(), arrays["linear3.weight"])


def test_the_network_does_not_share_memory_with_the_arrays(conv2):
    arrays = conv2.arrays()
    network = assemble(conv2, arrays=arrays)
    arrays["linear3.weight"][:] = 9
    assert not (network.linear3.weight == 9).any()


def test_arrays_in_any_memory_order_are_accepted(conv2):
    arrays = with_arrays(conv2, **{"linear3.weight": np.asfortranarray(conv2.arrays()["linear3.weight"])})
    np.testing.assert_array_equal(
        assemble(conv2, arrays=arrays).linear3.weight.numpy(), arrays["linear3.weight"]
    )


def test_read_only_arrays_are_accepted_without_a_warning(conv2):
    """Arrays mapped from a file, or seen through np.frombuffer, cannot be written to."""
    arrays = conv2.arrays()
    for array in arrays.values():
        array.flags.writeable = False
    torch.set_warn_always(True)  # torch warns once per process, perhaps in an earlier test
    try:
        assemble(conv2, arrays=arrays)
    finally:
        torch.set_warn_always(False)


def test_a_missing_tensor_is_refused_by_name(conv2):
    with pytest.raises(CorruptArtefact, match=r"conv2 has the tensor 'linear2\.weight'.*not the same arch"):
        assemble(conv2, arrays=with_arrays(conv2, remove="linear2.weight"))


def test_a_tensor_too_many_is_refused_by_name(conv2):
    with pytest.raises(CorruptArtefact, match=r"conv2 lacks the tensor 'bn\.running_mean'"):
        assemble(conv2, arrays=with_arrays(conv2, **{"bn.running_mean": np.zeros(4, np.float32)}))


@pytest.mark.parametrize("shape", [(4, 256), (256, 3), (3, 256, 1), (1, 256)])
def test_a_tensor_of_another_shape_is_refused(conv2, shape):
    """(1, 256) would broadcast."""
    with pytest.raises(CorruptArtefact, match=r"'linear3\.weight' of shape \(3, 256\), the subnetwork \("):
        assemble(conv2, arrays=with_arrays(conv2, **{"linear3.weight": np.zeros(shape, np.float32)}))


def test_tensors_of_another_architecture_are_refused(conv2):
    with pytest.raises(CorruptArtefact, match=r"conv4 has the tensor 'conv3\.weight'"):
        assemble(dataclasses.replace(conv2, arch="conv4"))


def test_an_unknown_arch_is_refused(conv2):
    with pytest.raises(UsageFault, match="unknown arch 'conv3'"):
        assemble(dataclasses.replace(conv2, arch="conv3"))


def test_a_custom_arch_named_in_a_file_is_not_imported(conv2):
    with pytest.raises(UsageFault, match="nothing named in a file is imported"):
        assemble(dataclasses.replace(conv2, arch="os:getcwd"))


CUSTOM = """
import torch
from torch import nn

class Scaled(nn.Module):
    def __init__(self, classes, size):
        super().__init__()
        self.temperature = nn.Parameter(torch.tensor(2.0))
        self.linear = nn.Linear(size, classes)
    def forward(self, x):
        return self.linear(x.flatten(1)) * self.temperature

def scaled(classes, channels, image_size):
    return Scaled(classes, channels * image_size**2)
"""


def test_a_custom_network_with_a_scalar_parameter_is_assembled(tmp_path, monkeypatch):
    (tmp_path / "assembled_scaled.py").write_text(CUSTOM)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    subnetwork = subnetwork_of("assembled_scaled:scaled", import_custom=True)
    network = assemble(subnetwork, import_custom=True)
    assert network.temperature.item() == subnetwork.state["temperature"]
    np.testing.assert_array_equal(network.linear.bias.numpy(), subnetwork.state["linear.bias"])
