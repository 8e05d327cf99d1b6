"""A ticket of any version to a Subnetwork, and the comparison of what it rebuilds with its digests."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket import layout, version4
from recycle_pipeline.exporters.ticket.container import Container, opened, read_file
from recycle_pipeline.exporters.ticket.digests import check_digests
from recycle_pipeline.exporters.ticket.earlier import reader as earlier
from recycle_pipeline.exporters.ticket.earlier import version3
from recycle_pipeline.models.subnetwork import Subnetwork


def load_ticket(path: Path | str) -> Subnetwork:
    """Reads a ticket and checks every part of it except the rebuilt weights (see `digests`).

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
    del content  # its parts are copies
    if container.version > layout.UNSTAGED_VERSION:
        return version4.rebuilt_in(container)
    subnetwork = _subnetwork(container)
    arrays = subnetwork.arrays()
    check_digests(arrays, _digests(container, subnetwork.state), container.name)
    return subnetwork, arrays


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
