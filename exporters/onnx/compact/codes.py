"""Operators that give codes of a few bits back, as bytes.

Bits are masked before they are shifted, so that none is lost: OpenVINO (2026.4) rounds to the nearest what is
shifted out below, and computes in wider numbers than bytes.
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
        ahead: (n,) of `width` bits, 0 where there is no weight.
        negative: (n,) of one bit, 0 where there is no weight.

    Returns:
        `ahead`, (n,) uint8; and (n,) uint8 whose highest bit is the sign, and the others 0 only where there
        is no weight: as int8 it is negative, 0 or positive.
    """
    code, bits = ahead | negative << np.uint8(width), width + 1
    if width % 2 == 0:  # the sign is a plane of its own
        (*widths, _), (*planes, sign) = gaps.plane_widths(bits), gaps.planes_of(code, bits)
        found = flat(ops, _whole(ops, _parts(ops, planes, widths), widths), "ahead")
        return found, ops.op("BitwiseOr", "signed", flat(ops, _highest(ops, sign), "negative"), found)
    both = codes_of(ops, code, bits)
    up = ops.shifted("signed", both, ops.small(8 - bits), "LEFT") if bits < 8 else both
    return ops.op("BitwiseAnd", "ahead", both, ops.small((1 << width) - 1)), up


def flat(ops: Operators, rows: str, name: str) -> str:
    """All in one row."""
    return ops.op("Reshape", name, rows, ops.lengths([-1]))


def _planes(ops: Operators, codes: NDArray[np.uint8], bits: int) -> list[str]:
    """The parts of codes of up to 7 bits, unpacked, (2, 4, n / 8) uint8 each."""
    return _parts(ops, gaps.planes_of(codes, bits), gaps.plane_widths(bits))


def _parts(ops: Operators, planes: Sequence[NDArray[np.uint8]], widths: Sequence[int]) -> list[str]:
    found = []
    for width, plane in zip(widths, planes, strict=True):
        packed, shifts = ops.own(f"packed{width}", plane), gaps.SHIFTS[width]
        masks = ops.shared.of(np.uint8((1 << width) - 1) << shifts)
        part = ops.op("BitwiseAnd", f"masked{width}", packed, masks)
        found.append(ops.shifted(f"part{width}", part, ops.shared.of(shifts), "RIGHT"))
    return found


def _highest(ops: Operators, plane: NDArray[np.uint8]) -> str:
    """Parts of one bit, each as the highest of its byte."""
    shifts = gaps.SHIFTS[1]
    part = ops.op("BitwiseAnd", "masked1", ops.own("packed1", plane), ops.shared.of(np.uint8(1) << shifts))
    return ops.shifted("highest", part, ops.shared.of(np.uint8(7) - shifts), "LEFT")


def _whole(ops: Operators, planes: Sequence[str], widths: Sequence[int]) -> str:
    """Planes of these widths as one number each, the lowest bits first."""
    whole, at = planes[0], widths[0]
    for part, width in zip(planes[1:], widths[1:], strict=True):
        lifted = ops.shifted(f"lifted{at}", part, ops.small(at), "LEFT")
        whole, at = ops.op("BitwiseOr", f"codes{at}", whole, lifted), at + width
    return whole
