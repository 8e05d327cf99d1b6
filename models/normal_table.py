"""The half-normal quantile table that makes normal draws exact on every machine.

Entry j (0 <= j < 65536) is the quantile of |N(0, 1)| at (j + 1/2) / 65536, that is
Phi^-1(1/2 + (j + 1/2) / 131072), rounded to float32. A normal draw is a table entry with a sign.
The largest entry is 4.4753 and the standard deviation of a draw is 1 - 5.1e-6.

The entries come from the standard library's `NormalDist.inv_cdf` in float64, whose last bits may
differ between C libraries. That cannot matter: no entry lies within 1e-13 (relative, 500 times the
error of inv_cdf) of a tie between two float32 values (a test holds this), and the digest refuses a
table that differs.
"""

import hashlib
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.models.errors import RecycleError

SIZE = 1 << 16
DIGEST = "f592bfa4a4bdf855bcb19c0c3cd289b6740cdff1af7c24dc819f74ff7474d819"


def quantiles() -> NDArray[np.float64]:
    """The table before rounding to float32; (65536,) float64, ascending."""
    inverse = NormalDist().inv_cdf
    return np.array([inverse(0.5 + (j + 0.5) / (2 * SIZE)) for j in range(SIZE)])


@cache
def half_normal() -> NDArray[np.float32]:
    """The table; (65536,) float32, read-only.

    Raises:
        RecycleError: this platform computes another table, so its draws would be wrong.
    """
    table = quantiles().astype("<f4")
    digest = hashlib.sha256(table.tobytes()).hexdigest()
    if digest != DIGEST:
        raise RecycleError(
            f"the normal table computed here has digest {digest[:16]}, expected {DIGEST[:16]}: this "
            "platform's math library is off; use --init signed_constant, and please report it"
        )
    table.flags.writeable = False
    return table
