"""Which models need the compiled kernels: read from the file's own list of operator sets, without ONNX."""

import io
from pathlib import Path
from typing import BinaryIO

from recycle_pipeline.models.kernel_library import DOMAIN

OPSET_IMPORT, DOMAIN_FIELD = 8, 1  # numbers of fields in ONNX's ModelProto and OperatorSetIdProto
VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5  # how protobuf writes a field


def needs_kernels(source: str | bytes) -> bool:
    """Whether a model has operators of the compiled kernels.

    Args:
        source: path or content. What is no model has none: ONNX Runtime says what is wrong with it.
    """
    try:
        with Path(source).open("rb") if isinstance(source, str) else io.BytesIO(source) as file:
            return DOMAIN.encode() in _domains(file)
    except (OSError, ValueError):
        return False


def _domains(file: BinaryIO) -> set[bytes]:
    """Of the operator sets that a model imports; everything else is passed over, unread.

    Raises:
        ValueError: it ends within a field, or has one of an unknown kind.
    """
    found = set()
    while (key := _number(file)) is not None:
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            _number(file)
        elif kind in (EIGHT, FOUR):
            file.seek(8 if kind == EIGHT else 4, io.SEEK_CUR)
        elif kind == BYTES:
            length = _number(file) or 0
            if number == OPSET_IMPORT:
                found |= _domain_of(file.read(length))
            else:
                file.seek(length, io.SEEK_CUR)
        else:
            raise ValueError(f"a field of kind {kind}")
    return found


def _domain_of(opset: bytes) -> set[bytes]:
    """In an operator set the domain is written first, where there is one."""
    file = io.BytesIO(opset)
    return {file.read(_number(file) or 0)} if _number(file) == DOMAIN_FIELD << 3 | BYTES else set()


def _number(file: BinaryIO) -> int | None:
    """A number in groups of seven bits, the lowest first; None at the end."""
    value, shift = 0, 0
    while byte := file.read(1):
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return value
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
    if shift:
        raise ValueError("it ends within a number")
    return None
