"""What numbers a search computes with: what each choice means, on CUDA where there is one."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.search.loop import search
from recycle_pipeline.pipeline.search.precision import (
    PRECISIONS,
    check_precision,
    mixed,
    multiplying,
    number_type,
)

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")


def test_auto_is_bfloat16_on_cuda_alone():
    assert [number_type(name, CUDA) for name in PRECISIONS] == [
        torch.bfloat16,
        torch.bfloat16,
        torch.float32,
        torch.float32,
    ]
    assert number_type("auto", CPU) == number_type("float32", CPU) == torch.float32


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_cpu_has_float32_alone(precision):
    check_precision(precision, CUDA)
    if precision in ("auto", "float32"):
        check_precision(precision, CPU)
    else:
        with pytest.raises(UsageFault, match=f"^--precision {precision} is for CUDA"):
            check_precision(precision, CPU)


def test_a_search_itself_refuses_too(settings_with, small_network, image_set):
    with pytest.raises(UsageFault, match="--precision bfloat16"):
        search(small_network(), image_set(), settings_with(precision="bfloat16"), CPU)


@pytest.fixture(params=[False, True])
def before(request):
    """What the process allowed before, put back afterwards."""
    convolutions, matrices = torch.backends.cudnn, torch.backends.cuda.matmul
    usual = convolutions.allow_tf32, matrices.allow_tf32
    convolutions.allow_tf32 = matrices.allow_tf32 = request.param
    yield request.param
    convolutions.allow_tf32, matrices.allow_tf32 = usual


@pytest.mark.parametrize("precision", PRECISIONS)
def test_which_products_may_be_tf32_is_as_asked_and_as_before_afterwards(precision, before):
    convolutions, matrices = torch.backends.cudnn, torch.backends.cuda.matmul
    within = {"tf32": (True, False), "float32": (False, False)}.get(precision, (before, before))
    with pytest.raises(ZeroDivisionError), multiplying(precision):
        assert (convolutions.allow_tf32, matrices.allow_tf32) == within
        raise ZeroDivisionError
    assert (convolutions.allow_tf32, matrices.allow_tf32) == (before, before)


def test_a_forward_pass_is_mixed_where_bfloat16_is_asked_for():
    layer, x = nn.Linear(3, 2), torch.ones(1, 3)
    for number in (torch.bfloat16, torch.float32):
        with mixed(number, CPU):
            assert layer(x).dtype == number


@needs_cuda
def test_full_float32_is_closer_than_tf32_and_tf32_than_bfloat16():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(8, 64, 16, 16, generator=generator)
    kernel = torch.randn(64, 64, 3, 3, generator=generator)
    exact = F.conv2d(x.double(), kernel.double(), padding=1)

    def error(precision):
        with multiplying(precision), mixed(number_type(precision, CUDA), CUDA):
            found = F.conv2d(x.cuda(), kernel.cuda(), padding=1)
        return float((found.double().cpu() - exact).abs().mean())

    assert error("float32") < error("tf32") / 20 < error("bfloat16") / 40


@needs_cuda
@pytest.mark.parametrize("engine", ["eager", "captured"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_search_on_cuda_computes_in_what_was_asked_for(engine, precision, settings_with, image_set):
    seen = set()

    class Watched(nn.Linear):
        def forward(self, images):
            found = super().forward(images)
            if self.training:
                seen.add(found.dtype)
            return found

    network = nn.Sequential(nn.Flatten(), Watched(64, 3, bias=False))
    search(network, image_set(), settings_with(precision=precision, epochs=2), CUDA, engine=engine)
    assert seen == {number_type(precision, CUDA)}
