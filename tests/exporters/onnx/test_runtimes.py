"""Forms on the oldest onnxruntime that they name, beside the newest: the one that is installed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from recycle_pipeline.exporters.onnx.compact.drawn import Drawn
from recycle_pipeline.exporters.onnx.dense import InputSpec, stamp, to_onnx
from recycle_pipeline.exporters.onnx.forms import BUILDERS, Dense, write_form
from recycle_pipeline.exporters.onnx.runtime import (
    EARLIER,
    NEWER,
    USUAL,
    oldest_for,
    parsed,
    require_runs_on,
    versions_for,
)
from recycle_pipeline.models.draws import signs_at, stream_key
from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.models.kernel_library import find_library

# The oldest wheels that there are for a version of Python, from 1.15 on.
OLDEST = {(3, 11): "1.15.1", (3, 12): "1.17.3"}.get(sys.version_info[:2], "1.20.1")
NUMPY = "numpy<2" if sys.version_info < (3, 13) else "numpy"
# To the bit.
SAME = {"onnx-compact": "onnx", "onnx-sparse": "onnx", "onnx-compact-int8": "onnx-int8"}
NO_KERNELS = set() if find_library() else {"onnx-kernel", "onnx-kernel-fp32"}  # where there is no compiler
RUN = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
import numpy, onnxruntime
images, found = numpy.load(sys.argv[2]), {"version": onnxruntime.__version__}
for path in sys.argv[3:]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    try:
        if "onnx-kernel" in path:
            options.register_custom_ops_library(os.environ["RECYCLE_PIPELINE_KERNELS"])
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        found[path] = str(error)
    else:
        numpy.save(path + "." + onnxruntime.__version__ + ".npy", session.run(None, {"images": images})[0])
print(json.dumps(found))
"""


def oldest_runtime() -> Path:
    """A folder with the oldest onnxruntime, fetched once from pip's registry."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "recycle-pipeline" / "tests"
    folder = cache / f"onnxruntime-{OLDEST}-{sys.implementation.cache_tag}"
    if not folder.is_dir():
        fresh = folder.with_name(f"{folder.name}.{os.getpid()}")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(fresh)]
        done = subprocess.run(
            [*command, f"onnxruntime=={OLDEST}", NUMPY], capture_output=True, text=True, check=False
        )
        if done.returncode:
            shutil.rmtree(fresh, ignore_errors=True)
            pytest.skip(f"onnxruntime {OLDEST} cannot be fetched: {done.stderr.strip()[-200:]}")
        if not folder.is_dir():  # another run may have been faster
            fresh.rename(folder)
    return folder


def forms_for(target):
    """The names of the forms that run on it."""
    return [name for name in BUILDERS if name not in NO_KERNELS and (target is None or name not in NEWER)]


@pytest.fixture(scope="module")
def written(ternary_network, tmp_path_factory):
    """The forms for any runtime and for the oldest, by the target."""
    found, spec = {}, InputSpec(3, 16, (0.5,) * 3, (0.25,) * 3, False)
    images = np.random.default_rng(0).standard_normal((32, 3, 16, 16)).astype(np.float32)
    for target in (None, EARLIER.runtime):
        model = to_onnx(ternary_network, spec, versions_for(target))
        stamp(model, {})
        source = Dense(model, with_drawn_signs(model), lambda: [images], target)
        found[target] = tmp_path_factory.mktemp("forms")
        for name in forms_for(target):
            write_form(name, source, found[target] / f"{name}.onnx")
    return found


def with_drawn_signs(model):
    """Gives a model's largest weights the signs of streams; returns which."""
    drawn = {}
    for item in model.graph.initializer:
        weight = onnx.numpy_helper.to_array(item)
        if weight.ndim == 4 and weight.size > 30_000:
            key = stream_key(0, item.name)
            signs = np.where(signs_at(key, np.arange(weight.size)), -1, 1).reshape(weight.shape)
            item.CopyFrom(
                onnx.numpy_helper.from_array((np.abs(weight) * signs).astype(np.float32), item.name)
            )
            drawn[item.name] = Drawn(key, weight.shape)
    return drawn


@pytest.fixture(scope="module")
def run(written, tmp_path_factory):
    """What a runtime says of every file: its version, why it does not read some, and logits beside them."""
    images = tmp_path_factory.mktemp("images") / "images.npy"
    np.save(images, np.random.default_rng(1).standard_normal((8, 3, 16, 16)).astype(np.float32))
    paths = [str(path) for folder in written.values() for path in sorted(folder.glob("*.onnx"))]

    def run_on(folder: Path | str) -> dict[str, str]:
        command = [sys.executable, "-c", RUN, str(folder), str(images), *paths]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    return run_on


def logits_of(folder: Path, name: str, version: str):
    return np.load(folder / f"{name}.onnx.{version}.npy")


def needs(folder: Path, name: str) -> str:
    """The runtime that a file names."""
    said = {entry.key: entry.value for entry in onnx.load(folder / f"{name}.onnx").metadata_props}
    return said["onnxruntime"].removeprefix(">=")


def test_the_oldest_runtime_runs_what_names_it_as_the_newest_does(run, written):
    new, old = run("")["version"], run(oldest_runtime())
    assert old["version"] == OLDEST != new
    for target, folder in written.items():
        runs = set()
        for name in forms_for(target):
            path = str(folder / f"{name}.onnx")
            if parsed(needs(folder, name)) > parsed(OLDEST.rpartition(".")[0]):
                assert path in old, f"{name} names a newer runtime than it needs"
                continue
            assert path not in old, old.get(path)
            expected, got = logits_of(folder, name, new), logits_of(folder, name, OLDEST)
            rounded = 0.1 if "int8" in name or "fp16" in name else 1e-4
            assert np.abs(got - expected).max() < rounded * np.abs(expected).max(), name
            runs.add(name)
        for name, plain in SAME.items():
            pair = (name, plain) if name in runs else ()
            found = [logits_of(folder, each, OLDEST) for each in pair]
            assert not found or np.array_equal(*found), name
        assert target is None or len(runs) == 6


def test_the_newest_runtime_runs_every_form_and_packed_ones_to_the_bit(run, written):
    found = run("")
    assert set(found) == {"version"}
    for target, folder in written.items():
        newer = {"onnx-seed": "onnx", "onnx-kernel": "onnx-int8"}
        exact = SAME | {name: newer[name] for name in forms_for(target) if name in newer}
        for name, plain in exact.items():
            pair = (logits_of(folder, each, found["version"]) for each in (name, plain))
            assert np.array_equal(*pair), name


@pytest.mark.parametrize(
    ("target", "versions"),
    [(None, USUAL), ("1.18", USUAL), ("1.31", USUAL), ("2.0", USUAL), ("1.17", EARLIER), ("1.15", EARLIER)],
)
def test_opset_and_ir_version_follow_the_target(target, versions):
    assert versions_for(target) == versions


def test_files_name_the_runtime_that_they_need(written):
    for target, folder in written.items():
        for name in forms_for(target):
            assert needs(folder, name) == oldest_for(name, versions_for(target))
            model = onnx.load(folder / f"{name}.onnx")
            said = {entry.key: entry.value for entry in model.metadata_props}
            assert (said["opset"], said["ir_version"]) == (
                str(model.opset_import[0].version),
                str(model.ir_version),
            )


@pytest.mark.parametrize("target", ("1", "1.18.1", "newest", "-1.2", "1.14", "0.9", ""))
def test_other_targets_are_refused(target):
    with pytest.raises(UsageFault, match=r"--ort-target .*: expected"):
        versions_for(target)


@pytest.mark.parametrize("name", NEWER)
def test_a_form_that_needs_a_newer_runtime_than_the_target_is_refused(name, ternary_model, tmp_path):
    source = Dense(ternary_model, {}, list, "1.15")
    with pytest.raises(UsageFault, match=f"{name} needs onnxruntime {NEWER[name]} and --ort-target is 1.15"):
        write_form(name, source, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
    require_runs_on(name, NEWER[name])
    require_runs_on("onnx-compact", "1.15")
