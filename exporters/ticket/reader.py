"""A ticket of any version to a Subnetwork, and the comparison of what it rebuilds with its digests."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket import layout, version4
from recycle_pipeline.exporters.ticket.container import Container, opened, read_file
from recycle_pipeline.exporters.ticket.earlier import reader as earlier
from recycle_pipeline.exporters.ticket.earlier import version3
from recycle_pipeline.exporters.ticket.faults import DigestFault
from recycle_pipeline.models.subnetwork import Subnetwork, array_digest


def load_ticket(path: Path | str) -> Subnetwork:
    """Reads a ticket and checks every part of it except the rebuilt weights (see `check_digests`).

    Raises:
        UsageFault: there is no such file.
        CorruptArtefact: the file is not a ticket, is damaged, or is of a later version; names the part.
    """
    return parse_ticket(read_file(path), str(path))


def parse_ticket(content: bytes, name: str) -> Subnetwork:
    """The same from the file's bytes; `name` is used in messages."""
    return _subnetwork(opened(content, name))


def stored_digests(path: Path | str) -> dict[str, str]:
    """The digests of the arrays that a ticket rebuilds, by state name.

    Raises:
        UsageFault, CorruptArtefact: see `load_ticket`.
    """
    return _digests(opened(read_file(path), str(path)))


def read_verified(path: Path | str) -> tuple[Subnetwork, dict[str, NDArray[Any]]]:
    """Reads a ticket and rebuilds every array of the network's state, compared with its digest.

    Returns:
        The subnetwork, and its `arrays()`.

    Raises:
        UsageFault, CorruptArtefact: see `load_ticket`; or a rebuilt array is not the one that was stored.
    """
    return parse_verified(read_file(path), str(path))


def parse_verified(content: bytes, name: str) -> tuple[Subnetwork, dict[str, NDArray[Any]]]:
    """The same from the file's bytes; `name` is used in messages."""
    container = opened(content, name)
    subnetwork, digests = _read(container)
    arrays = subnetwork.arrays()
    check_digests(arrays, digests, container.name)
    return subnetwork, arrays


def check_digests(arrays: dict[str, NDArray[np.generic]], digests: dict[str, str], name: str) -> None:
    """Compares rebuilt arrays with the digests their ticket holds.

    Raises:
        DigestFault: one differs, is missing or is too many; names it.
    """
    for extra in sorted(digests.keys() ^ arrays.keys()):
        raise DigestFault(name, extra, "the ticket's digests and its parts do not name the same arrays")
    for array_name, array in arrays.items():
        if not agrees(array, digests[array_name]):
            raise DigestFault(name, array_name, "the rebuilt array is not the one that was stored")


def agrees(array: NDArray[np.generic], digest: str) -> bool:
    """Whether an array has a digest that a ticket holds: all of its SHA-256, or in version 4 half of it."""
    return array_digest(array).startswith(digest)


def _read(container: Container) -> tuple[Subnetwork, dict[str, str]]:
    if container.version > layout.UNSTAGED_VERSION:
        return version4.read_in(container)
    subnetwork = _subnetwork(container)
    return subnetwork, _digests(container, subnetwork.state)


def _subnetwork(container: Container) -> Subnetwork:
    if container.version > layout.UNSTAGED_VERSION:
        return version4.read_in(container)[0]
    unstaged = container.version > earlier.LATEST
    return version3.subnetwork_in(container) if unstaged else earlier.subnetwork_in(container)


def _digests(container: Container, state: Mapping[str, NDArray[Any]] | None = None) -> dict[str, str]:
    if container.version > layout.UNSTAGED_VERSION:
        return version4.Streams(container).digests
    unstaged = container.version > earlier.LATEST
    return version3.digests_in(container, state) if unstaged else earlier.digests_in(container)
