"""Bit vectors of versions 1 and 2: packed eight to a byte, then raw deflate."""

import zlib

import numpy as np
from numpy.typing import NDArray


def decode_bits(stream: NDArray[np.uint8], count: int) -> NDArray[np.bool_]:
    """A coded stream to (count,) bool. Memory is bounded by `count`, whatever the stream holds.

    Raises:
        ValueError: the stream is damaged, or holds another number of bits.
    """
    size = (count + 7) // 8
    decoder = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        packed = decoder.decompress(stream.tobytes(), size + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(packed) != size or not decoder.eof or decoder.unused_data:
        raise ValueError(f"expected {size} packed bytes for {count} bits, got {len(packed)}")
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little")
    if bits[count:].any():
        raise ValueError("padding bits are not zero")
    return bits[:count].view(np.bool_)
