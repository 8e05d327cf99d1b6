"""A Subnetwork back to an `nn.Module` that infers with plain weights."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recycle_pipeline.models.errors import CorruptArtefact
from recycle_pipeline.models.registry import build, is_custom
from recycle_pipeline.models.subnetwork import Subnetwork


def assemble(
    subnetwork: Subnetwork,
    *,
    arrays: Mapping[str, NDArray[np.generic]] | None = None,
    import_custom: bool = False,
) -> nn.Module:
    """Builds the plain network and gives it the subnetwork's weights and state.

    Args:
        subnetwork: what to build.
        arrays: `subnetwork.arrays()` if the caller has them already.
        import_custom: whether a custom arch may be imported (see `registry.find_builder`).

    Returns:
        The network in eval mode, float32, on CPU, without gradients.

    Raises:
        UsageFault: the arch is unknown or may not be imported.
        CorruptArtefact: the arch builds other tensors than the subnetwork holds.
    """
    options: dict[str, Any] = {
        "classes": len(subnetwork.classes),
        "channels": subnetwork.channels,
        "image_size": subnetwork.image_size,
        "options": subnetwork.options,
    }
    arrays = arrays if arrays is not None else subnetwork.arrays()
    if not is_custom(subnetwork.arch):
        with torch.device("meta"):  # shapes alone: no file decides how much memory is taken
            _compare(build(subnetwork.arch, **options), arrays, subnetwork.arch)
    network = build(subnetwork.arch, **options, import_custom=import_custom)
    wanted = _compare(network, arrays, subnetwork.arch)
    for name, array in arrays.items():
        wanted[name].copy_(torch.from_numpy(np.array(array, order="C")))
    return network.requires_grad_(False).eval()


def _compare(network: nn.Module, arrays: Mapping[str, NDArray[Any]], arch: str) -> dict[str, Tensor]:
    """The network's own tensors by name, if `arrays` has all of them in their shapes and no other."""
    wanted = {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    for name in sorted(wanted.keys() ^ arrays.keys()):
        where = "has" if name in wanted else "lacks"
        raise CorruptArtefact(
            f"{arch} {where} the tensor {name!r}, the subnetwork does not agree: not the same arch"
        )
    for name, array in arrays.items():
        if tuple(wanted[name].shape) != array.shape:
            raise CorruptArtefact(
                f"{arch} has {name!r} of shape {tuple(wanted[name].shape)}, the subnetwork {array.shape}"
            )
    return wanted
