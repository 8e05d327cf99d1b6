"""A small subnetwork made by hand, and its network."""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recycle_pipeline.models.subnetwork import MaskedTensor, Subnetwork

TINY_NET = '''
"""A convolution, a batch norm, a temperature and a classifier with a bias, for images of 4 px."""

from collections import OrderedDict

import torch
from torch import nn


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x * self.temperature


def build(classes, channels, image_size):
    parts = OrderedDict(conv=nn.Conv2d(channels, 3, 3, padding=1, bias=False))
    parts |= OrderedDict(bn=nn.BatchNorm2d(3), relu=nn.ReLU(), scaled=Scaled(), flatten=nn.Flatten())
    parts |= OrderedDict(head=nn.Linear(3 * image_size**2, classes))
    return nn.Sequential(parts)
'''
TINY_ARCH = "tiny_net_of_tests:build"


def by_hand(kind: str) -> Subnetwork:
    """`TINY_NET` for 4 px, 1 channel, 2 classes: 27 and 96 weights, every part that the kind can have."""
    rng = np.random.default_rng(7)
    conv, head = rng.random((3, 1, 3, 3)) < 0.4, rng.random((2, 48)) < 0.3
    tensors = [
        MaskedTensor("conv", "kaiming_normal", np.float32(0.47), conv),
        MaskedTensor("head", "kaiming_uniform", np.float32(0.21), head),
    ]
    if kind == "binary":
        tensors = [
            replace(t, gain=np.float32(g), flips=rng.random(t.kept) < 0.3)
            for t, g in zip(tensors, (0.31, 0.125), strict=True)
        ]
    else:
        tensors = [
            replace(
                t,
                draws=rng.integers(0, 4, t.kept).astype(np.int16),
                sources=rng.integers(0, t.size, t.kept).astype(np.int32),
            )
            for t in tensors
        ]
    return Subnetwork(
        arch=TINY_ARCH,
        classes=("no", "yes"),
        channels=1,
        image_size=4,
        mean=(0.25,),
        std=(0.5,),
        seed=2**63 - 1,
        kind=kind,
        prune=0.75,
        scope="global",
        tensors=tuple(tensors),
        state={
            "bn.weight": np.array([1, 2, 3], np.float32),
            "bn.bias": np.array([0, -0.0, 1e-45], np.float32),
            "bn.running_mean": np.array([0.1, 0.2, 0.3], np.float32),
            "bn.running_var": np.array([1.5, 2.5, 3.5], np.float32),
            "scaled.temperature": np.array([0.5], np.float32),
            "head.bias": np.zeros(2, np.float32),
        },
    )


@pytest.fixture
def make_by_hand() -> Callable[[str], Subnetwork]:
    return by_hand


@pytest.fixture(params=["binary", "continuous"])
def subnetwork(request: pytest.FixtureRequest) -> Subnetwork:
    return by_hand(request.param)


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """For a process that shall import what this one can."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@pytest.fixture
def tiny_net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The arch of `by_hand`, importable in this test."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "tiny_net_of_tests.py").write_text(TINY_NET)
    monkeypatch.syspath_prepend(tmp_path / "code")
    return TINY_ARCH


FIELDS = (
    "arch",
    "classes",
    "channels",
    "image_size",
    "mean",
    "std",
    "seed",
    "kind",
    "prune",
    "scope",
    "options",
)


def same_array(a: Any, b: Any) -> bool:
    """Both None, or arrays of one dtype, shape and bytes (so 0.0 is not -0.0)."""
    if a is None or b is None:
        return a is b
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@pytest.fixture(scope="session")
def assert_same() -> Callable[[Subnetwork, Subnetwork], None]:
    """Asserts that two subnetworks are equal, field by field and bit by bit."""

    def check(got: Subnetwork, expected: Subnetwork) -> None:
        for field in FIELDS:
            assert getattr(got, field) == getattr(expected, field), field
            assert type(getattr(got, field)) is type(getattr(expected, field)), field
        assert [t.name for t in got.tensors] == [t.name for t in expected.tensors]
        for mine, theirs in zip(got.tensors, expected.tensors, strict=True):
            assert_same_tensor(mine, theirs)
        assert got.state.keys() == expected.state.keys()
        for name, array in expected.state.items():
            assert same_array(got.state[name], array), name

    return check


def assert_same_tensor(got: MaskedTensor, expected: MaskedTensor) -> None:
    """Equal, where None and "nothing moved" are two spellings of one thing."""
    assert (got.init, got.kept, got.moved) == (expected.init, expected.kept, expected.moved)
    assert same_array(np.asarray(got.scale), np.asarray(expected.scale))
    assert (got.gain is None) == (expected.gain is None)
    if expected.gain is not None:
        assert same_array(np.asarray(got.gain), np.asarray(expected.gain))
    assert same_array(got.mask, expected.mask)
    if expected.moved:
        for field in ("flips", "draws", "sources"):
            assert same_array(getattr(got, field), getattr(expected, field)), field
    else:
        assert (got.flips, got.draws, got.sources) == (None, None, None)
