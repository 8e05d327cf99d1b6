"""What pyproject.toml cannot say yet but as an experiment: the compiled kernels. All else is there.

The library is one that Python never imports, only finds. Without a compiler it is left out and the rest is
installed; `python -m recycle_pipeline.exporters.kernel.build` compiles it later, with the same options.
"""

from pathlib import Path

from setuptools import Extension, setup

FOLDER = Path("exporters/kernel/native")

setup(
    ext_modules=[
        Extension(
            "recycle_pipeline.exporters.kernel._library",
            sources=sorted(map(str, FOLDER.glob("*.c"))),
            depends=sorted(map(str, FOLDER.glob("*.h"))),
            extra_compile_args=["-std=c11", "-O3", "-g0", "-ffp-contract=off", "-fvisibility=hidden"],
            libraries=["m"],
            optional=True,
            py_limited_api=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},  # it knows no Python, so any later one will do
)
