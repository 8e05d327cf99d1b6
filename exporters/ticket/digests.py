"""What tickets hold to compare rebuilt arrays with, as hexadecimal digits.

Versions 1 to 3 have the whole SHA-256 of every array (`array_digest`). Version 4 has it of the state's
arrays; of a weight it has half of that of its mask and its kept numbers (`kept_digest`). Their lengths tell
them apart.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket.faults import DigestFault
from recycle_pipeline.models.kept_digest import BYTES, kept_digest
from recycle_pipeline.models.subnetwork import array_digest

Arrays = dict[str, NDArray[Any]]
OTHER = "the rebuilt array is not the one that was stored"


def digests_of(weights: Mapping[str, NDArray[Any]], state: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    """Those that version 4 holds, by state name: of what a search computed with, for a ticket to rebuild."""
    found = {name: kept_digest(weight) for name, weight in weights.items()}
    return found | {name: array_digest(array) for name, array in state.items()}


def agrees(array: NDArray[np.generic], digest: str) -> bool:
    """Whether an array has a digest that a ticket of any version holds."""
    return digest == (kept_digest(array) if len(digest) == 2 * BYTES else array_digest(array))


def check_digests(arrays: Arrays, digests: Mapping[str, str], name: str) -> None:
    """Compares rebuilt arrays with the digests their ticket holds.

    Raises:
        DigestFault: one differs, is missing or is too many; names it.
    """
    for extra in sorted(digests.keys() ^ arrays.keys()):
        raise DigestFault(name, extra, "the ticket's digests and its parts do not name the same arrays")
    for array_name, array in arrays.items():
        if not agrees(array, digests[array_name]):
            raise DigestFault(name, array_name, OTHER)
