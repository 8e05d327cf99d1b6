"""Which file a number belongs to."""

import hashlib
from pathlib import Path
from typing import Any


def described(path: Path) -> dict[str, Any]:
    """Path, bytes and SHA-256 of an ONNX file; weights that lie beside it are counted, not digested."""
    return {"path": str(path), "bytes": file_bytes(path), "sha256": digest(path)}


def digest(path: Path) -> str:
    """SHA-256, as hex."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def file_bytes(path: Path) -> int:
    """Bytes of an ONNX file, and of the weights that lie beside it as `NAME.data`, where they do."""
    beside = path.with_name(path.name + ".data")
    return path.stat().st_size + (beside.stat().st_size if beside.is_file() else 0)
