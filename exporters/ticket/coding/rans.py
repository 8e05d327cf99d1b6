"""Range asymmetric numeral systems (Duda 2013) with static frequencies, in lanes that numpy does at once.

A lane is a number x from 2**32 on, with 32 bits more than a word: words have 16 bits, in version 3 they have
32. Symbol i of a segment belongs to lane i mod lanes. To decode the symbol s: slot = x mod 65536 lies in s's
range of frequencies, [start, start + frequency); then x = frequency * (x // 65536) + slot - start, and if
that is below 2**32, x = x * 2**bits + the next word. Words are taken in the order of symbols. Encoding does
the same backwards and begins at x = 2**32 + r in every lane, which is where decoding ends: r, below 2**32, is
what the lane carries besides.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.ticket.coding.tables import SYMBOLS, TOTAL, TOTAL_BITS, Frequencies

Symbols = NDArray[np.uint8]
Words = NDArray[np.unsignedinteger[Any]]
LOW = np.uint64(1 << 32)
CARRIED = np.uint64(32)  # bits
KINDS: dict[int, np.dtype[np.unsignedinteger[Any]]] = {
    16: np.dtype("<u2"),
    32: np.dtype("<u4"),
}  # of words, by their bits
SHIFT = np.uint64(TOTAL_BITS)
SLOTS = np.arange(TOTAL, dtype=np.uint16)
TABLE_PAYS = 2048  # symbols; of fewer, slots are looked for by bisection


def encode(
    segments: Sequence[tuple[Symbols, Frequencies]],
    lanes: int,
    carried: Words | None = None,
    bits: int = 16,
) -> Words:
    """Symbols, segment by segment with the frequencies of each, as words.

    Args:
        segments: (n,) symbols and the (256,) frequencies, sum 65,536.
        lanes: at least 1.
        carried: (lanes,) what each lane carries besides; None if nothing.
        bits: of a word.

    Returns:
        Each lane's last number, its lowest word first, then the words in the order of decoding.
    """
    kind, width = KINDS[bits], np.uint64(bits)
    top = CARRIED + width - SHIFT  # x below frequency << top has room for a symbol
    x = np.full(lanes, LOW)
    if carried is not None:
        x += carried
    written: list[Words] = []
    for symbols, table in reversed(segments):
        frequency = table.astype(np.uint64)[symbols]
        start = _starts(table).astype(np.uint64)[symbols]
        for first in range((len(symbols) - 1) // lanes * lanes, -1, -lanes):
            part = slice(first, min(len(symbols), first + lanes))
            own, f = x[: part.stop - first], frequency[part]
            if len(full := (own >= f << top).nonzero()[0]):
                written.append(own.take(full).astype(kind))
                own[full] >>= width
            quotient = own // f
            own[:] = (quotient << SHIFT) + (own - quotient * f) + start[part]
    parts = [(x >> np.uint64(shift)).astype(kind) for shift in range(0, 32 + bits, bits)]
    states = np.stack(parts, 1).reshape(-1)
    return np.concatenate([states, *written[::-1]])


def decode(
    words: Words, segments: Sequence[tuple[int, Frequencies]], lanes: int, bits: int = 16
) -> tuple[list[Symbols], Words]:
    """The inverse of `encode`: the symbols, and what the lanes carry; (lanes,).

    Args:
        words: as it gave them.
        segments: the number of symbols, and their frequencies.
        lanes, bits: as encoded.

    Raises:
        ValueError: the words are not of these segments.
    """
    each = 1 + 32 // bits  # words of a lane
    if len(words) < each * lanes:
        raise ValueError(f"{len(words)} words are too few for {lanes} lanes")
    x, width = np.zeros(lanes, np.uint64), np.uint64(bits)
    for i in reversed(range(each)):
        x = x << width | words[i : each * lanes : each]
    if (x < LOW).any():
        raise ValueError("a lane begins below its range")
    rest, taken, found = words[each * lanes :].astype(np.uint64), 0, []
    for count, table in segments:
        symbols, frequency = np.empty(count, np.uint8), table.astype(np.uint64)
        start = _starts(table).astype(np.uint16)
        few = count < TABLE_PAYS
        ends = np.cumsum(table, dtype=np.int64)
        symbol_of_slot = None if few else np.repeat(np.arange(SYMBOLS, dtype=np.uint8), table)
        within = None if few else SLOTS - np.repeat(start, table)
        for first in range(0, count, lanes):
            part = symbols[first : first + lanes]
            own = x[: len(part)]
            slot = own.astype(np.uint16)
            own >>= SHIFT
            if symbol_of_slot is None or within is None:
                part[:] = ends.searchsorted(slot, "right")
                own *= frequency.take(part)
                own += slot - start.take(part)
            else:
                symbol_of_slot.take(slot, out=part)
                own *= frequency.take(part)
                own += within.take(slot)
            if len(low := (own < LOW).nonzero()[0]):
                if taken + len(low) > len(rest):
                    raise ValueError("the words end before the symbols do")
                own[low] = own.take(low) << width | rest[taken : taken + len(low)]
                taken += len(low)
        found.append(symbols)
    if taken != len(rest):
        raise ValueError(f"{len(rest) - taken} words are left over")
    if (x >> CARRIED != 1).any():
        raise ValueError("a lane does not end where encoding begins")
    return found, x.astype(np.uint32)


def _starts(table: Frequencies) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(table[:-1], dtype=np.int64)])
