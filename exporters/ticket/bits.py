"""Coding of bit vectors: packed eight to a byte, then deflate's Huffman stage.

The bits of a trained mask are close to independent, so bytes of eight bits have no repeats to find
but a skewed distribution, which Huffman codes to within 2-3 % of the entropy at 90 % removed.
"""

import zlib

import numpy as np
from numpy.typing import NDArray


def encode_bits(bits: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Any shape of bool to a coded stream; (bytes,) uint8."""
    packed = np.packbits(bits.reshape(-1), bitorder="little").tobytes()
    coder = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_HUFFMAN_ONLY)
    return np.frombuffer(coder.compress(packed) + coder.flush(), np.uint8)


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
