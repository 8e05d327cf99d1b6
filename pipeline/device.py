"""Choosing where to search."""

from typing import TYPE_CHECKING

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.processes import Ranks

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


def check_device(name: str) -> None:
    """Raises UsageFault for a CUDA device that is not there; torch is imported for those alone."""
    if name not in ("auto", "cpu"):
        find_device(name)


def check_precision_there(precision: str, name: str) -> None:
    """Raises UsageFault for a precision that this device has not; torch is imported for those alone."""
    if precision not in ("auto", "float32"):
        from recycle_pipeline.pipeline.search.precision import check_precision

        check_precision(precision, find_device(name))  # type: ignore[arg-type]


def device_among(name: str, ranks: Ranks) -> tuple["torch.device", bool]:
    """The device of one of several processes, and whether it is a GPU that no other process uses.

    Processes take the GPUs of their machine in turn, unless one is named; where there are too few, they
    share them.

    Raises:
        UsageFault: a CUDA device that is not there.
    """
    import torch

    device = find_device(name)
    if device.type == "cpu" or device.index is not None:
        return device, device.type == "cuda" and ranks.local_size == 1
    count = torch.cuda.device_count()
    return torch.device("cuda", ranks.local_rank % count), ranks.local_size <= count
