"""Choosing where to search."""

from typing import TYPE_CHECKING

from recycle_pipeline.models.errors import UsageFault

if TYPE_CHECKING:
    import torch


def find_device(name: str) -> "torch.device":
    """The torch device of `auto`, `cpu`, `cuda` or `cuda:N`; `auto` takes a GPU where there is one.

    Raises:
        UsageFault: a CUDA device that is not there.
    """
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if count else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= count:
        there = "this machine has none" if not count else f"this machine has cuda:0 to cuda:{count - 1}"
        raise UsageFault(
            f"--device {name}: no such CUDA device, {there}; use --device cpu, or `recycle-pipeline doctor` "
            "to see what is missing"
        )
    return device
