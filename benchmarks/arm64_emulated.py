#!/usr/bin/env python3
"""Run folders on a 64-bit ARM processor, emulated: tickets to weights, and every form under ONNX Runtime.

    python benchmarks/arm64_emulated.py --work FOLDER --record RECORD RUN [RUN ...]

A RUN has been exported with `--export all`. Debian's Python for arm64 and the wheels of onnxruntime, numpy
and safetensors for it are fetched into FOLDER, this project's kernels compiled for it, and all of it run by
qemu-aarch64 (Debian: gcc-aarch64-linux-gnu, libc6-dev-arm64-cross, qemu-user; `dpkg --add-architecture
arm64`). A ticket is read by docs/read_ticket.py on both processors; of what a form gives for random images
the largest difference is recorded: to the same form here, to `onnx` there, and for 8 bits to `onnx-int8`.
Nothing is timed: an emulator's time says nothing.
"""

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from common.record import write_record

from recycle_pipeline.evaluators.session import open_session
from recycle_pipeline.exporters.kernel.build import OPTIONS, SOURCES
from recycle_pipeline.models.kernel_library import VARIABLE, library_path
from recycle_pipeline.pipeline.forms import FORMS

READER = Path(__file__).parents[1] / "docs" / "read_ticket.py"
PYTHON = (
    "python3.11-minimal",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libc6",
    "libstdc++6",
    "libgcc-s1",
)
PYTHON += ("zlib1g", "libexpat1", "libssl3", "libffi8", "libbz2-1.0", "liblzma5", "libuuid1", "libcrypt1")
# qemu 7.2 cannot run onnxruntime 1.31.1, which ends with a fault as it is loaded.
COMPILED = ("onnxruntime==1.24.4", "numpy<3", "safetensors")
PURE = ("flatbuffers", "packaging", "protobuf")
PLATFORMS = (
    "manylinux_2_28_aarch64",
    "manylinux_2_27_aarch64",
    "manylinux_2_17_aarch64",
    "manylinux2014_aarch64",
)
INT8, INTEGERS = "onnx-int8", ("onnx-kernel", "onnx-compact-int8")
RUN = """
import os, sys
import numpy, onnxruntime
images, found = numpy.load(sys.argv[1]), {}
for path in sys.argv[3:]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 2, 4
    if "kernel" in path:
        options.register_custom_ops_library(os.environ["RECYCLE_PIPELINE_KERNELS"])
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    found[path] = session.run(None, {"images": images})[0]
numpy.savez(sys.argv[2], **found)
"""


def emulated(work: Path) -> tuple[list[str], dict[str, str]]:
    """The start of a command of that processor's Python, and its environment."""
    root, site, library, fetched = work / "root", work / "site", work / "library.so", work / "fetched"
    if not fetched.is_file():
        with tempfile.TemporaryDirectory(dir=work) as folder:
            fetch(Path(folder), root, site)
        fetched.touch()
    line = ["aarch64-linux-gnu-gcc", *OPTIONS, "-fPIC", "-shared", "-o", str(library)]
    subprocess.run([*line, *map(str, sorted(SOURCES.glob("*.c"))), "-lm"], check=True)
    known = {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1", VARIABLE: str(library)}
    python = ["qemu-aarch64", "-L", str(root), str(root / "usr/bin/python3.11")]
    return python, {**os.environ, **known}


def fetch(folder: Path, root: Path, site: Path) -> None:
    """That processor's Python into `root`, and its packages into `site`."""
    subprocess.run(
        ["apt-get", "download", "-q", *(f"{name}:arm64" for name in PYTHON)], cwd=folder, check=True
    )
    for path in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(path), str(root)], check=True)
    pip = [sys.executable, "-m", "pip", "--quiet"]
    line = [*pip, "download", "--no-deps", "--python-version", "3.11", "--only-binary=:all:"]
    line += ["--dest", str(folder), *(f"--platform={each}" for each in PLATFORMS)]
    subprocess.run([*line, *COMPILED], check=True)
    for path in folder.glob("*.whl"):
        zipfile.ZipFile(path).extractall(site)
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), *PURE], check=True)


def read_by(start: list[str], environment: dict[str, str], ticket: Path, folder: Path) -> str:
    """The digest of the weights that a processor reads from a ticket."""
    made = folder / "weights.safetensors"
    subprocess.run([*start, str(READER), str(ticket), str(made)], env=environment, check=True)
    return hashlib.sha256(made.read_bytes()).hexdigest()


def logits_by(
    start: list[str], environment: dict[str, str], paths: list[Path], images: Path, folder: Path
) -> dict[str, Any]:
    made = folder / "logits.npz"
    line = [*start, "-c", RUN, str(images), str(made), *map(str, paths)]
    subprocess.run(line, env=environment, check=True)
    with np.load(made) as found:
        return {path.name: found[str(path)] for path in paths}


def measured(run: Path, there: tuple[list[str], dict[str, str]], count: int) -> dict[str, Any]:
    here = [sys.executable], {**os.environ, VARIABLE: str(library_path())}
    forms = {form.file: name for name, form in FORMS.items() if (run / "onnx" / form.file).is_file()}
    paths = [run / "onnx" / file for file in forms]
    shape = open_session(paths[0], "cpu", 1).input_shape
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(images := folder / "images.npy", drawn((count, *shape[1:])))
        own, other = (logits_by(*each, paths, images, folder) for each in (here, there))
        tickets = [read_by(*each, run / "ticket.safetensors", folder) for each in (here, there)]
    own, other = ({forms[file]: found[file] for file in forms} for found in (own, other))
    rows = {}
    for form, logits in other.items():
        row = {"to_here": far(logits, own[form]), "to_onnx": far(logits, other["onnx"])}
        rows[form] = row | (
            {"to_int8": far(logits, other[INT8])} if form in INTEGERS and INT8 in other else {}
        )
    return {
        "run": run.name,
        "images": count,
        "largest_logit": float(np.abs(other["onnx"]).max()),
        "weights_of_the_ticket_alike": tickets[0] == tickets[1],
        "sha256": tickets[0],
        "forms": rows,
    }


def drawn(shape: tuple[int, ...]) -> Any:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def far(one: Any, other: Any) -> float:
    return float(np.abs(one - other).max())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument(
        "--work", type=Path, required=True, help="what is fetched stays here for the next time"
    )
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    there = emulated(args.work.resolve())
    rows = [measured(run.resolve(), there, args.images) for run in args.runs]
    print(json.dumps(rows, indent=1))
    site = args.work / "site"
    versions = {"here": platform.machine(), "there": sorted(path.stem for path in site.glob("*.dist-info"))}
    write_record(args.record, __doc__.splitlines()[0], versions=versions, rows=rows)


if __name__ == "__main__":
    main()
