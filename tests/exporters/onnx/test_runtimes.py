"""Each form on the oldest onnxruntime that it names, and refused below it, beside the installed one."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from recycle_pipeline.exporters.onnx.compact.drawn import Drawn
from recycle_pipeline.exporters.onnx.dense import InputSpec, stamp, to_onnx
from recycle_pipeline.exporters.onnx.forms import BUILDERS, Dense, write_form
from recycle_pipeline.exporters.onnx.fp16 import in_versions
from recycle_pipeline.exporters.onnx.runtime import (
    NEWER,
    NEWEST,
    USUAL,
    oldest_for,
    parsed,
    require_runs_on,
    versions_for,
)
from recycle_pipeline.models.draws import signs_at, stream_key
from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.models.kernel_library import find_library

# To the bit.
SAME = {
    "onnx-compact": "onnx",
    "onnx-seed": "onnx",
    "onnx-sparse": "onnx",
    "onnx-compact-int8": "onnx-int8",
    "onnx-kernel": "onnx-int8",
}
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


@pytest.fixture(scope="module")
def written(ternary_network, tmp_path_factory):
    """The forms for any runtime, and the one that an older one is for is written otherwise; by the target."""
    found, spec = {}, InputSpec(3, 16, (0.5,) * 3, (0.25,) * 3, False)
    images = np.random.default_rng(0).standard_normal((32, 3, 16, 16)).astype(np.float32)
    model = to_onnx(ternary_network, spec, USUAL)
    stamp(model, {})
    streams = with_drawn_signs(model)
    for target, names in ((None, set(BUILDERS) - NO_KERNELS), (USUAL.runtime, NEWEST)):
        found[target] = tmp_path_factory.mktemp("forms")
        for name in names:
            write_form(name, Dense(model, streams, lambda: [images], target), found[target] / f"{name}.onnx")
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


@pytest.fixture(scope="module")
def newest(run):
    """What the installed one says."""
    return run("")


def logits_of(path: Path, version: str):
    return np.load(f"{path}.{version}.npy")


def needs(path: Path) -> str:
    """The runtime that a file names."""
    said = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    return said["onnxruntime"].removeprefix(">=")


def require_same(folder: Path, names, version: str) -> None:
    """Packed forms give the very logits of what they are packed from."""
    for name in set(names) & set(SAME):
        pair = (logits_of(folder / f"{each}.onnx", version) for each in (name, SAME[name]))
        assert np.array_equal(*pair), name


def test_a_runtime_runs_the_forms_that_name_it_or_an_older_one_and_no_others(
    older_runtime, run, newest, written
):
    version, where = older_runtime
    old = run(where)
    assert old["version"] == version
    for folder in written.values():
        runs = set()
        for path in folder.glob("*.onnx"):
            if parsed(needs(path)) > parsed(version.rpartition(".")[0]):
                assert str(path) in old, f"{path.stem} names a newer runtime than it needs"
                continue
            assert str(path) not in old, old.get(str(path))
            expected, got = logits_of(path, newest["version"]), logits_of(path, version)
            rounded = 0.1 if {"int8", "fp16", "kernel"} & set(path.stem.split("-")) else 1e-4
            assert np.abs(got - expected).max() < rounded * np.abs(expected).max(), path.stem
            runs.add(path.stem)
        assert runs
        require_same(folder, runs, version)


def test_every_runtime_that_a_form_names_is_among_them(named_runtimes):
    assert {oldest_for(name, versions_for(None, name)) for name in BUILDERS} == set(named_runtimes)


def test_the_newest_runtime_runs_every_form_and_packed_ones_to_the_bit(newest, written):
    assert set(newest) == {"version"}
    require_same(written[None], set(BUILDERS) - NO_KERNELS, newest["version"])


@pytest.mark.parametrize(
    ("target", "half"), [(None, (20, 10)), ("1.18", (20, 10)), ("2.0", (20, 10)), ("1.17", (18, 8))]
)
def test_opset_and_ir_version_are_the_oldest_but_for_float16(target, half):
    assert versions_for(target) == versions_for(target, "onnx-seed") == USUAL
    found = versions_for(target, "onnx-fp16")
    assert (found.opset, found.ir_version) == half


def test_files_name_the_runtime_that_they_need(written):
    for target, folder in written.items():
        for path in folder.glob("*.onnx"):
            versions = versions_for(target, path.stem)
            assert needs(path) == oldest_for(path.stem, versions)
            model = onnx.load(path)
            said = {entry.key: entry.value for entry in model.metadata_props}
            found = model.opset_import[0].version, model.ir_version
            assert (said["opset"], said["ir_version"]) == tuple(map(str, found))
            assert found == ((25, 13) if path.stem == "onnx-int2" else (versions.opset, versions.ir_version))


def test_a_half_model_that_cannot_be_brought_to_a_newer_opset_stays_in_its_own(ternary_model, monkeypatch):
    def convert(*_):
        raise RuntimeError("no adapter")

    monkeypatch.setattr("onnx.version_converter.convert_version", convert)
    assert in_versions(ternary_model, NEWEST["onnx-fp16"]) is ternary_model


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
