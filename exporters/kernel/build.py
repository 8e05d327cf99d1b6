"""Compiles the kernels and the loops of tickets: `python -m recycle_pipeline.exporters.kernel.build`.

Installing the package does it by setuptools, with the same sources and options (pyproject.toml); this is for
who installs a compiler later, and for builds with other options.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from recycle_pipeline.models.errors import PackageMissing, RecycleError
from recycle_pipeline.models.kernel_library import FOLDER

SOURCES = FOLDER / "native"
NAME = "_library.abi3.so"
LOOPS, LOOPS_NAME = FOLDER.parent / "ticket" / "native", "_loops.abi3.so"
OPTIONS = ("-std=c11", "-O3", "-g0", "-ffp-contract=off", "-fvisibility=hidden")


def compiler() -> str | None:
    """The path of a C compiler: $CC, cc, gcc or clang."""
    named = os.environ.get("CC")
    return next(filter(None, map(shutil.which, filter(None, (named, "cc", "gcc", "clang")))), None)


def build(target: Path = FOLDER / NAME, options: Sequence[str] = OPTIONS, sources: Path = SOURCES) -> Path:
    """Compiles the library of the sources in a folder to `target`, in one piece or not at all.

    Raises:
        PackageMissing: there is no compiler.
        RecycleError: it does not compile here.
        OSError: the file cannot be written.
    """
    found = compiler()
    if found is None:
        raise PackageMissing("no C compiler here: expected cc, gcc or clang; install one, or name it in CC")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder) / target.name
        files = [str(path) for path in sorted(sources.glob("*.c"))]
        command = [found, *options, "-fPIC", "-shared", "-o", str(made), *files, "-lm"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RecycleError(f"{found} cannot compile {sources}: {done.stderr.strip()[-2000:]}")
        made.replace(target)
    return target


def main() -> int:
    try:
        print(build())
        print(build(LOOPS.parent / LOOPS_NAME, OPTIONS, LOOPS))
    except (RecycleError, OSError) as error:
        print(error, file=sys.stderr)
        return getattr(error, "exit_code", 1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
