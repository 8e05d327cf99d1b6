"""The digest of a weight of which most numbers are pruned: over the mask's bits and the kept numbers alone.

A dense ResNet-18 has 45 MB, its mask and its kept tenth have 6: hashing those takes an eighth of the time.
What is hashed follows from the dense array, whatever mask a ticket has for it: a number is kept here if any
of its bits is set. So arrays have equal digests only if they are equal to the bit.
"""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

BYTES = 16  # that count of the SHA-256: chance is ruled out, and a second array of one digest
BLOCK = 1 << 17  # numbers at a time


class KeptDigest:
    """Of a float32 array that comes piece by piece.

    Args:
        shape: of the array.
        kept: which numbers are not +0, in C order: 0 for those that are; (size,).
    """

    def __init__(self, shape: tuple[int, ...], kept: NDArray[np.bool_] | NDArray[np.uint8]) -> None:
        self._hash = hashlib.sha256(f"float32:{','.join(map(str, shape))}\0".encode())
        self._hash.update(np.packbits(kept, bitorder="little").data)

    def add(self, values: NDArray[np.float32]) -> None:
        """Takes the next kept numbers."""
        self._hash.update(np.ascontiguousarray(values, "<f4").view(np.uint8).data)

    def digits(self) -> str:
        """Hexadecimal, of `BYTES` bytes."""
        return self._hash.hexdigest()[: 2 * BYTES]


def kept_digest(array: NDArray[Any]) -> str:
    """The digest of a whole array, which is none of a float32's if it is of another type."""
    if array.dtype.name != "float32":
        return ""
    flat = np.ascontiguousarray(array).reshape(-1)
    kept = flat.view(np.uint32).astype(np.bool_)
    digest = KeptDigest(array.shape, kept)
    for start in range(0, flat.size, BLOCK):
        digest.add(flat[start : start + BLOCK].compress(kept[start : start + BLOCK]))
    return digest.digits()
