"""Operators that give codes of a few bits back, as bytes.

Bits are masked before they are shifted down: OpenVINO (2026.4) rounds what is lost to the nearest.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.exporters.onnx.compact import gaps
from recycle_pipeline.exporters.onnx.compact.operators import Operators


def codes_of(ops: Operators, codes: NDArray[np.uint8], bits: int) -> str:
    """The codes, (n,) uint8, put together from their planes."""
    if bits == 8:
        return ops.own("packed8", codes)
    return flat(ops, _whole(ops, _planes(ops, codes, bits), gaps.plane_widths(bits)), "codes")


def ahead_and_sign(
    ops: Operators, ahead: NDArray[np.uint8], negative: NDArray[np.uint8], width: int
) -> tuple[str, str]:
    """Codes of two parts, packed together.

    Args:
        ahead: (n,) of `width` bits.
        negative: (n,) of one bit.

    Returns:
        Each part by itself, (n,) uint8.
    """
    code, bits = ahead | negative << np.uint8(width), width + 1
    if width % 2 == 0:  # the sign is a plane of its own
        *planes, sign = _planes(ops, code, bits)
        return flat(ops, _whole(ops, planes, gaps.plane_widths(width)), "ahead"), flat(ops, sign, "negative")
    both = codes_of(ops, code, bits)
    highest = ops.op("BitwiseAnd", "highest", both, ops.small(1 << width))
    below = ops.shifted("negative", highest, ops.small(width), "RIGHT")
    return ops.op("BitwiseAnd", "ahead", both, ops.small((1 << width) - 1)), below


def flat(ops: Operators, rows: str, name: str) -> str:
    """All in one row."""
    return ops.op("Reshape", name, rows, ops.lengths([-1]))


def _planes(ops: Operators, codes: NDArray[np.uint8], bits: int) -> list[str]:
    """The parts of codes of up to 7 bits, unpacked, (2, 4, n / 8) uint8 each."""
    found = []
    for width, plane in zip(gaps.plane_widths(bits), gaps.planes_of(codes, bits), strict=True):
        packed, shifts = ops.own(f"packed{width}", plane), gaps.SHIFTS[width]
        masks = ops.shared.of(np.uint8((1 << width) - 1) << shifts)
        part = ops.op("BitwiseAnd", f"masked{width}", packed, masks)
        found.append(ops.shifted(f"part{width}", part, ops.shared.of(shifts), "RIGHT"))
    return found


def _whole(ops: Operators, planes: Sequence[str], widths: Sequence[int]) -> str:
    """Planes of these widths as one number each, the lowest bits first."""
    whole, at = planes[0], widths[0]
    for part, width in zip(planes[1:], widths[1:], strict=True):
        lifted = ops.shifted(f"lifted{at}", part, ops.small(at), "LEFT")
        whole, at = ops.op("BitwiseOr", f"codes{at}", whole, lifted), at + width
    return whole
