"""Networks as the exporter gets them: drawn weights, most of them zero, batch norm folded; and exports."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from recycle_pipeline.exporters.onnx.dense import InputSpec, export_dense, stamp, to_onnx
from recycle_pipeline.exporters.onnx.runtime import parsed
from recycle_pipeline.models.fold import fold_batch_norm
from recycle_pipeline.models.registry import build

METADATA = {"tool": "recycle-pipeline test", "arch": "any", "classes": '["Größe", "猫"]'}
DENSITY = 0.3
# What forms name as the oldest that runs them, where there are wheels for this version of Python.
WHEELS_FROM = {(3, 11): (1, 15), (3, 12): (1, 17), (3, 13): (1, 20)}.get(sys.version_info[:2], (1, 24))
NAMED = {"1.15": "1.15.1", "1.16": "1.16.3", "1.18": "1.18.1", "1.21": "1.21.1", "1.24": "1.24.1"}
RUNTIMES = [full for named, full in NAMED.items() if parsed(named) >= WHEELS_FROM]


@torch.no_grad()
def prune_and_fold(network: nn.Module, shape: tuple[int, int, int]) -> nn.Module:
    """Kaiming weights under a random mask, batch-norm statistics of their own; logits are of order 1.

    `shape` is that of an image, (C, S, S).
    """
    generator = torch.Generator().manual_seed(5)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            weight = module.weight
            fan = weight[0].numel() * DENSITY
            mask = torch.rand(weight.shape, generator=generator) < DENSITY
            weight.copy_(torch.randn(weight.shape, generator=generator) * (2 / fan) ** 0.5 * mask)
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(1.5, 3.0, generator=generator)
    folded = fold_batch_norm(network.eval(), [torch.randn(2, *shape, generator=generator)])
    assert folded.reason == ""
    return folded.network


def session_of(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run_file(path: Path, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The file's logits by onnxruntime on the CPU."""
    return session_of(path).run(["logits"], {"images": images})[0]


@pytest.fixture(scope="session")
def session() -> Callable[[Path], onnxruntime.InferenceSession]:
    return session_of


@pytest.fixture(scope="session")
def run() -> Callable[..., np.ndarray[Any, Any]]:
    return run_file


@pytest.fixture(scope="session")
def pruned() -> Callable[[nn.Module, tuple[int, int, int]], nn.Module]:
    return prune_and_fold


@pytest.fixture(scope="session")
def ternary_network() -> nn.Module:
    """ResNet-20 for 3 x 16 x 16, 70 % of it zeros, one magnitude for each channel; not to be changed."""
    torch.manual_seed(0)
    network = prune_and_fold(build("resnet20", classes=10, channels=3, image_size=16), (3, 16, 16))
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                rows = module.weight.flatten(1)
                rows.copy_(rows.sign() * rows.abs().mean(1, keepdim=True))
    return network


@pytest.fixture(scope="session")
def ternary_model(ternary_network: nn.Module) -> onnx.ModelProto:
    """The same exported; not to be changed."""
    model = to_onnx(ternary_network, InputSpec(3, 16, (0.5,) * 3, (0.25,) * 3, False))
    stamp(model, {"arch": "resnet20"})
    return model


class Branching(nn.Module):
    """Takes a branch that depends on the images: no graph can be traced."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1) if images.sum() > 0 else -images.flatten(1)


class Small(nn.Module):
    """A convolution with batch norm, and a classifier with a bias; 3 channels, 4 px, 5 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(6)
        self.head = nn.Linear(96, 5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.bn(self.conv(images))).flatten(1))


@pytest.fixture
def branching() -> nn.Module:
    return Branching().eval()


def small_network() -> nn.Module:
    torch.manual_seed(1)
    network = Small()
    with torch.no_grad():
        network.head.bias.copy_(torch.tensor([0.5, 0.0, -1.0, 0.0, 2.0]))
    return prune_and_fold(network, (3, 4, 4))


@pytest.fixture(scope="session")
def small() -> nn.Module:
    return small_network()


@pytest.fixture(scope="session")
def small_spec() -> Callable[..., InputSpec]:
    def spec(embed: bool = False, mean: tuple[float, ...] = (0.1, 0.4, 0.7)) -> InputSpec:
        return InputSpec(3, 4, mean, (0.2, 0.3, 0.6), embed)

    return spec


@pytest.fixture(scope="session")
def small_file(
    small: nn.Module, small_spec: Callable[..., InputSpec], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """`small`, exported once."""
    path = tmp_path_factory.mktemp("small") / "model.onnx"
    export_dense(small, small_spec(), METADATA, path)
    yield path


@pytest.fixture(scope="session")
def metadata() -> dict[str, str]:
    return METADATA


def fetched(version: str) -> Path:
    """A folder with that onnxruntime, fetched once from pip's registry."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "recycle-pipeline" / "tests"
    folder = cache / f"onnxruntime-{version}-{sys.implementation.cache_tag}"
    if not folder.is_dir():
        fresh = folder.with_name(f"{folder.name}.{os.getpid()}")
        numpy = ["numpy<2"] if parsed(version.rpartition(".")[0]) < (1, 19) else []
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(fresh)]
        done = subprocess.run(
            [*command, f"onnxruntime=={version}", *numpy], capture_output=True, text=True, check=False
        )
        if done.returncode:
            shutil.rmtree(fresh, ignore_errors=True)
            pytest.skip(f"onnxruntime {version} cannot be fetched: {done.stderr.strip()[-200:]}")
        try:
            fresh.rename(folder)
        except OSError:  # another process was faster
            shutil.rmtree(fresh)
            assert folder.is_dir()
    return folder


@pytest.fixture(scope="session")
def named_runtimes() -> Mapping[str, str]:
    """The versions that forms name as their oldest, and the patch of each that is tried."""
    return NAMED


@pytest.fixture(scope="session", params=RUNTIMES)
def older_runtime(request: pytest.FixtureRequest) -> tuple[str, Path]:
    """Each of them for which there are wheels: its full version, and a folder that has it."""
    return request.param, fetched(request.param)
