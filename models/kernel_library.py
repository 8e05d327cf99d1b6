"""Where the compiled kernels of `onnx-kernel` lie: for those who write models for them, and who run them."""

import os
from pathlib import Path

from recycle_pipeline.models.errors import PackageMissing

VARIABLE = "RECYCLE_PIPELINE_KERNELS"  # path of another build of the library
FOLDER = Path(__file__).parent.parent / "exporters" / "kernel"  # beside this package, installed or not
PATTERN = "_library*.so"
DOMAIN = "recycle"  # of the operator

MISSING = (
    "the kernels of onnx-kernel are not compiled here: expected a C compiler (cc, gcc or clang) when "
    "recycle-pipeline was installed; install one and run "
    "`python -m recycle_pipeline.exporters.kernel.build`, or use onnx-int8 (for onnx-kernel) or onnx, which "
    "have the same numbers"
)


def library_path() -> Path:
    """The shared library, for `SessionOptions.register_custom_ops_library` and its like.

    Raises:
        PackageMissing: it is not there.
    """
    if found := find_library():
        return found
    raise PackageMissing(MISSING)


def find_library() -> Path | None:
    """The same, or None."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named) if Path(named).is_file() else None
    return next(iter(sorted(FOLDER.glob(PATTERN))), None)
