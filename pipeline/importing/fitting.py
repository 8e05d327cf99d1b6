"""Tensors from elsewhere against the architecture that the user named: names, shapes, values."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recycle_pipeline.models.errors import UsageFault

Arrays = dict[str, NDArray[np.generic]]
UNUSED = "num_batches_tracked"  # inference does not read it
SHOWN = 12  # mismatches in one message
OURS_TO_ADD = ("weight", "bias")  # of a batch norm, where --batch-norm learned is what is missing


def fitted(tensors: Mapping[str, Tensor], network: nn.Module, arch: str) -> Arrays:
    """Every tensor of the network's state out of `tensors`, with its shape and dtype, in its order.

    A 1x1 convolution may stand for a linear layer, and a wider or narrower float for another where no value
    changes.

    Args:
        tensors: by state name.
        network: on any device, meta too.
        arch: its name, for messages.

    Raises:
        UsageFault: a tensor is missing, too many, of another shape, cannot be held in the network's dtype, or
            is not finite; one line for each.
    """
    wanted = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith(UNUSED)}
    given = {name: tensor for name, tensor in tensors.items() if not name.endswith(UNUSED)}
    faults = [_missing(name, tensor) for name, tensor in wanted.items() if name not in given]
    faults += [_extra(name, tensor, network) for name, tensor in given.items() if name not in wanted]
    faults += [
        f"{name}: of shape {tuple(given[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in given and not _same_shape(given[name], tensor)
    ]
    _raise(faults, arch)
    arrays: Arrays = {}
    for name, tensor in wanted.items():
        before = given[name].reshape(tensor.shape)
        value = before.to(tensor.dtype)
        if not bool(before.isfinite().all()):
            faults.append(f"{name}: has values that are not finite")
        elif not torch.equal(value.to(before.dtype), before):
            faults.append(f"{name}: its {before.dtype} values are not all numbers of {tensor.dtype}")
        arrays[name] = value.contiguous().numpy()
    _raise(faults, arch)
    return arrays


def _same_shape(given: Tensor, wanted: Tensor) -> bool:
    shape, expected = tuple(given.shape), tuple(wanted.shape)
    return shape == expected or (len(expected) == 2 and shape == (*expected, 1, 1))


def _missing(name: str, tensor: Tensor) -> str:
    return f"{name}: not in the file, expected {tuple(tensor.shape)}"


def _extra(name: str, tensor: Tensor, network: nn.Module) -> str:
    said = f"{name}: in the file, {tuple(tensor.shape)}, and not in the architecture"
    layer, _, last = name.rpartition(".")
    norms = {n for n, m in network.named_modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)}
    return f"{said} (--batch-norm learned has it)" if layer in norms and last in OURS_TO_ADD else said


def _raise(faults: list[str], arch: str) -> None:
    if not faults:
        return
    lines = faults[:SHOWN]
    if len(faults) > SHOWN:
        lines.append(f"and {len(faults) - SHOWN} more")
    raise UsageFault(
        f"the file does not fit --arch {arch}:\n  " + "\n  ".join(lines) + "\n"
        "expected every tensor of the architecture and no other; choose another --arch, --width, "
        "--batch-norm or --image-size, give --rename OLD=NEW, or name your own network as "
        "package.module:function"
    )
