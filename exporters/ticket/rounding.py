"""Batch-norm numbers in fewer bits: the one way in which a ticket may differ from what was searched.

They stay float32, rounded to nearest; bytes of fractions that are 0 then take next to nothing. A ticket of
rounded numbers rebuilds those, bit for bit, and its digests are of those. Its recipe says how many bits
are left.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.models.subnetwork import Subnetwork

FRACTION = 23  # bits of a float32
FIELD = "statistics_bits"  # of the recipe
OF_A_BATCH_NORM = ("running_mean", "running_var", "weight", "bias")


def statistics_in(state: Mapping[str, NDArray[Any]]) -> list[str]:
    """The names of batch norm's float32 numbers: statistics, and gamma and beta beside them."""
    norms = [name.removesuffix(".running_var") for name in state if name.endswith(".running_var")]
    names = (f"{norm}.{each}" for norm in norms for each in OF_A_BATCH_NORM)
    return [name for name in names if name in state and state[name].dtype == np.float32]


def with_rounded_statistics(subnetwork: Subnetwork, bits: int) -> Subnetwork:
    """The subnetwork with batch norm's numbers rounded, and with what the recipe says of it.

    Args:
        subnetwork: as it was searched.
        bits: of their fractions that are left, 1 to 22: numbers change by at most 1 part in 2**(bits + 1).
    """
    near = {name: rounded(subnetwork.state[name], bits) for name in statistics_in(subnetwork.state)}
    recipe = {**subnetwork.recipe, FIELD: bits}
    return replace(subnetwork, state={**subnetwork.state, **near}, recipe=recipe)


def rounded(numbers: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """To nearest, ties to even; what would become infinite, and what is not finite, stays as it is."""
    if bits >= FRACTION:
        return numbers
    words, cut = numbers.view(np.uint32).astype(np.uint64), np.uint64(FRACTION - bits)
    even = words >> cut & np.uint64(1)
    words += np.uint64((1 << FRACTION - bits >> 1) - 1) + even
    near = (words >> cut << cut).astype(np.uint32).view(np.float32)
    return np.where(np.isfinite(numbers) & np.isfinite(near), near, numbers)
