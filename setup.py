"""What pyproject.toml cannot say yet but as an experiment: compiled kernels, and loops of tickets.

Both are libraries that Python never imports, only finds. Without a compiler they are left out and the rest
is installed; `python -m recycle_pipeline.exporters.kernel.build` compiles the kernels later, with the same
options. What the loops do numpy does as well, in more time.
"""

from pathlib import Path

from setuptools import Extension, setup

LIBRARIES = {"kernel": "_library", "ticket": "_loops"}  # in exporters/


def library(folder: str, name: str) -> Extension:
    native = Path("exporters") / folder / "native"
    return Extension(
        f"recycle_pipeline.exporters.{folder}.{name}",
        sources=sorted(map(str, native.glob("*.c"))),
        depends=sorted(map(str, native.glob("*.h"))),
        extra_compile_args=["-std=c11", "-O3", "-g0", "-ffp-contract=off", "-fvisibility=hidden"],
        libraries=["m"],
        optional=True,
        py_limited_api=True,
    )


setup(
    ext_modules=[library(folder, name) for folder, name in LIBRARIES.items()],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},  # it knows no Python, so any later one will do
)
