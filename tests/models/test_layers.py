"""The binary activation, forward and backward, against numpy."""

import numpy as np
import pytest
import torch
from torch import nn

from recycle_pipeline.models.layers import BinaryActivation, activation, batch_norm, batch_norm_1d
from recycle_pipeline.models.options import ArchOptions

EDGES = [-np.inf, -2.0, -1.0, -0.25, -1e-45, -0.0, 0.0, 1e-45, 0.5, 1.0, np.nextafter(1, 2), 3.0]


def reference(x, gradient):
    """Sign, and twice (1 - |x|) within one of zero."""
    slope = np.where(np.abs(x) <= 1, 2 * (1 - np.abs(x)), 0)
    return np.sign(x), slope * gradient


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_forward_and_backward_are_the_numpy_reference(device, dtype):
    generator = torch.Generator().manual_seed(0)
    values = torch.cat([torch.tensor(EDGES), torch.randn(500, generator=generator)]).to(dtype)
    x = values.clone().to(device).requires_grad_()
    gradient = torch.randn(values.shape, generator=generator).to(dtype)
    y = BinaryActivation().train()(x)
    y.backward(gradient.to(device))
    forward, backward = reference(values.double().numpy(), gradient.double().numpy())
    assert y.dtype == x.grad.dtype == dtype
    np.testing.assert_array_equal(y.detach().double().cpu().numpy(), forward)
    tolerance = 1e-6 if dtype == torch.float32 else 2e-2  # three roundings
    np.testing.assert_allclose(x.grad.double().cpu().numpy(), backward, rtol=tolerance, atol=1e-6)


def test_zero_is_zero_as_published():
    assert torch.equal(BinaryActivation()(torch.zeros(3)), torch.zeros(3))


def test_eval_mode_gives_the_same_signs_in_one_operator():
    x = torch.tensor(EDGES)
    layer = BinaryActivation()
    assert torch.equal(layer.train()(x), layer.eval()(x))
    graph = torch.fx.symbolic_trace(nn.Sequential(layer.eval())).graph
    assert [node.target for node in graph.nodes if node.op.startswith("call")] == ["sign"]


def test_the_input_is_left_as_it_was():
    x = torch.randn(20, requires_grad=True)
    before = x.detach().clone()
    BinaryActivation()(x * 1.0).sum().backward()
    assert torch.equal(x.detach(), before)


def test_options_choose_the_layers():
    plain, other = ArchOptions(), ArchOptions(activations="binary", batch_norm="learned")
    assert isinstance(activation(plain), nn.ReLU) and isinstance(activation(other), BinaryActivation)
    for make in (batch_norm, batch_norm_1d):
        assert not make(3, plain).affine and make(3, other).affine
