"""A ticket back to a module, with every rebuilt tensor compared with its stored digest."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from recycle_pipeline.exporters.ticket.reader import read_verified
from recycle_pipeline.models.assemble import assemble
from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.models.registry import is_custom
from recycle_pipeline.models.subnetwork import Subnetwork
from recycle_pipeline.pipeline.finite import require_finite


@dataclass(frozen=True)
class Rebuilt:
    """A network rebuilt from a ticket.

    Attributes:
        subnetwork: what the ticket says.
        arrays: every array of the network's state, compared with its digest.
        network: eval mode, on CPU.
    """

    subnetwork: Subnetwork
    arrays: dict[str, NDArray[np.generic]]
    network: nn.Module


def rebuild(ticket: Path, *, arch: str | None = None) -> Rebuilt:
    """Reads a ticket, rebuilds every tensor, compares, and assembles the network.

    Args:
        ticket: path.
        arch: the custom arch the ticket names, given by the user to allow its import.

    Raises:
        UsageFault: no such file; or the arch is custom and was not given, or is another one.
        CorruptArtefact: the ticket is damaged, a tensor is not the one that was stored, or not finite.
    """
    subnetwork, arrays = read_verified(ticket)
    require_finite(subnetwork, str(ticket))
    if arch is not None and arch != subnetwork.arch:
        raise UsageFault(f"--arch {arch} was given, but {ticket} is of arch {subnetwork.arch}")
    allowed = arch is not None and is_custom(arch)
    return Rebuilt(subnetwork, arrays, assemble(subnetwork, arrays=arrays, import_custom=allowed))
