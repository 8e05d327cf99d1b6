"""Kernels fused by torch's compiler, prepared soon."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch

Part = TypeVar("Part", bound=Callable[..., object])


def fused(part: Part) -> Part:
    """The same for arguments of one shape, compiled at its first call."""
    return cast(Part, torch.compile(part, dynamic=False, options=quickly()))


def quickly() -> dict[str, str | int | bool | Callable[..., Any]]:
    """Options of torch.compile, of those that it has, by which it compiles sooner what then is as fast.

    It does not look for patterns, of attention or products in a row, that searched networks hardly have, nor
    try several sizes of blocks for kernels that only read and write (docs/results.md).
    """
    from torch import _inductor

    wanted: dict[str, str | int | bool | Callable[..., Any]] = {
        "pattern_matcher": False,
        "triton.autotune_pointwise": False,
    }
    return {name: value for name, value in wanted.items() if name in _inductor.list_options()}
