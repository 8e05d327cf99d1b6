"""Numbers that a search computes with: bfloat16, or float32 with or without TF32."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import torch

from recycle_pipeline.models.errors import UsageFault

Precision = Literal["auto", "bfloat16", "tf32", "float32"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def number_type(precision: Precision, device: torch.device) -> torch.dtype:
    """Of effective weights and activations in forward and backward; scores are float32 always."""
    if precision == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def check_precision(precision: Precision, device: torch.device) -> None:
    """Refuses what the device has no fast way to do.

    Raises:
        UsageFault: bfloat16 or TF32 elsewhere than on CUDA.
    """
    if precision in ("bfloat16", "tf32") and device.type != "cuda":
        raise UsageFault(
            f"--precision {precision} is for CUDA, and this search is on {device.type}: expected float32, or "
            "auto, or --device cuda"
        )


@contextmanager
def mixed(number: torch.dtype, device: torch.device) -> Iterator[None]:
    """Within it a forward pass computes with numbers of this type where they are enough."""
    with torch.autocast(device.type, torch.bfloat16, enabled=number is torch.bfloat16):
        yield


@contextmanager
def multiplying(precision: Precision) -> Iterator[None]:
    """Within it float32 products are what was asked for; where nothing was, they are the process's.

    TF32 is for convolutions alone, as torch has it by default: what a published search of float32 ran with on
    a GPU that can. In float32 no product is TF32.
    """
    if precision not in ("tf32", "float32"):
        yield
        return
    convolutions, matrices = torch.backends.cudnn, torch.backends.cuda.matmul
    before = convolutions.allow_tf32, matrices.allow_tf32
    convolutions.allow_tf32, matrices.allow_tf32 = precision == "tf32", False
    try:
        yield
    finally:
        convolutions.allow_tf32, matrices.allow_tf32 = before
