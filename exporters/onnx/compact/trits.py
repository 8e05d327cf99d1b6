"""Signs and zeros five to a byte, for weights too dense for gaps: 3**5 = 243 of 256 values are used."""

import numpy as np
from numpy.typing import NDArray

EACH = 5
POWERS = (1, 3, 9, 27, 81)


def packed(signs: NDArray[np.int8]) -> NDArray[np.uint8]:
    """(n,) of -1, 0, 1 to (bytes,); the last byte is filled with zeros."""
    digits = np.pad(signs.reshape(-1) + 1, (0, -signs.size % EACH), constant_values=1).astype(np.uint8)
    found: NDArray[np.uint8] = (digits.reshape(-1, EACH) * np.array(POWERS, np.uint8)).sum(1, dtype=np.uint8)
    return found


def table() -> NDArray[np.int8]:
    """(243, 5): the signs of every byte."""
    found: NDArray[np.int8] = (np.arange(3**EACH)[:, None] // np.array(POWERS) % 3 - 1).astype(np.int8)
    return found
