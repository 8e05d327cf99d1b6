"""Devices to test on, and networks whose batch norms have seen data."""

import pytest
import torch
from torch import nn


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device on this machine")
    return torch.device(request.param)


@pytest.fixture
def with_statistics():
    """Gives batch norms random statistics (gamma and beta, if they have them); returns it in eval mode."""

    def randomise(network: nn.Module) -> nn.Module:
        generator = torch.Generator().manual_seed(0)
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_(0, 0.3, generator=generator)
                module.running_var.uniform_(0.5, 2.0, generator=generator)
                if module.affine:
                    with torch.no_grad():
                        module.weight.uniform_(0.5, 2.0, generator=generator)
                        module.bias.normal_(generator=generator)
        return network.eval()

    return randomise
