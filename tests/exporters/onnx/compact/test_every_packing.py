"""Every way that a weight may be packed, forced, under the oldest runtimes and the installed one, with
constants folded and not: to the bit.

What forms choose for a real network is a part of these.
"""

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from recycle_pipeline.exporters.onnx.compact import convert, packings
from recycle_pipeline.exporters.onnx.compact.drawn import Drawn
from recycle_pipeline.exporters.onnx.compact.gaps import WIDTHS
from recycle_pipeline.exporters.onnx.compact.member import Member
from recycle_pipeline.exporters.onnx.runtime import NEWER, USUAL, parsed
from recycle_pipeline.models.draws import signs_at, stream_key

SHAPE = (60, 51)
KEY = stream_key(5, "layer")
LEVELS = ("ORT_ENABLE_ALL", "ORT_DISABLE_ALL")  # folded at load, and unpacked in every call
RUN = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
import numpy, onnxruntime
refused = {}
for path in sys.argv[2:]:
    for level in ("ORT_ENABLE_ALL", "ORT_DISABLE_ALL"):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
        try:
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            refused[path] = str(error)
        else:
            names = [output.name for output in session.get_outputs()]
            numpy.savez(path + "." + level + ".npz", **dict(zip(names, session.run(None, {}))))
print(json.dumps([onnxruntime.__version__, refused]))
"""


def weights(kind, integers):
    """Weights of one kind; signs are those of a stream but for a twentieth."""
    generator = np.random.default_rng(0)
    size = int(np.prod(SHAPE))
    negative = signs_at(KEY, np.arange(size)) ^ (generator.random(size) < 0.05)
    signs = np.where(negative, -1, 1) * (generator.random(size) < 0.12)
    signs = signs.reshape(SHAPE)
    if integers:
        return (signs * (64 if kind == "ternary" else generator.integers(1, 128, SHAPE))).astype(np.int8)
    steps = generator.uniform(0.1, 3, (SHAPE[0], 1) if kind == "ternary" else SHAPE)
    return (signs * steps).astype(np.float32)


def reading(many):
    """A model that has these weights and reads each; it takes nothing and gives nothing yet."""
    nodes, items = [], [numpy_helper.from_array(np.float32(0.01), "step")]
    for name, weight in many.items():
        items.append(numpy_helper.from_array(weight, name))
        one = np.ones((1, SHAPE[0]), np.float32)
        items.append(numpy_helper.from_array(one, f"{name}/one"))
        read = name
        if weight.dtype == np.int8:
            nodes.append(helper.make_node("DequantizeLinear", [name, "step"], [f"{name}/float"]))
            read = f"{name}/float"
        nodes.append(helper.make_node("MatMul", [f"{name}/one", read], [f"{name}/read"]))
    graph = helper.make_graph(nodes, "every packing", [], [], items)
    opset = [helper.make_opsetid("", USUAL.opset)]
    return helper.make_model(graph, opset_imports=opset, ir_version=USUAL.ir_version)


def packed(path, kinds, *, integers, seeded, monkeypatch):
    """Writes a model of a weight for each way that there is; returns the weights by name, and the ways."""
    many, ways = {}, []
    for kind in kinds:
        weight = weights(kind, integers)
        drawn = Drawn(KEY, SHAPE) if not integers else None
        costs = packings.costs_of(Member("", weight, convert.levels_of(weight), drawn))
        for way in sorted(costs):
            if (way.kind == "seed") == seeded:
                many[f"{kind}, {way}"] = weight
                ways.append(way)
    model = reading(many)
    drawn = {name: Drawn(KEY, SHAPE) for name in many} if seeded else {}
    monkeypatch.setattr(convert, "chosen", lambda *_: ways)
    monkeypatch.setattr(convert, "within_memory", lambda costs, _: costs)
    convert.compact(model, drawn)
    number = TensorProto.INT8 if integers else TensorProto.FLOAT
    model.graph.output.extend(helper.make_tensor_value_info(name, number, SHAPE) for name in many)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return many, ways


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """By name of a file: where it is, its weights, its ways, and the oldest runtime that runs it."""
    folder, found = tmp_path_factory.mktemp("packings"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packings, "DRAWING_SAVES", -10.0)  # drawn signs are a way even where they save nothing
        for name, integers, seeded in (
            *(("floats", False, False), ("integers", True, False), ("seeded", False, True)),
        ):
            path = folder / f"{name}.onnx"
            oldest = NEWER["onnx-seed"] if seeded else USUAL.runtime
            kinds = ("ternary",) if seeded else ("ternary", "any values")
            made = packed(path, kinds, integers=integers, seeded=seeded, monkeypatch=patch)
            found[name] = (path, *made, oldest)
    return found


@pytest.fixture
def unpacked(files, tmp_path):
    """What a runtime makes of each file: its version, and by the file's name weights at each level of
    optimisation; None where refused."""

    def run(folder):
        paths = []
        for path, *_ in files.values():
            paths.append(tmp_path / path.name)
            paths[-1].write_bytes(path.read_bytes())
        line = [sys.executable, "-c", RUN, str(folder), *map(str, paths)]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        version, refused = json.loads(done.stdout)
        return version, {
            path.stem: None if str(path) in refused else [np.load(f"{path}.{level}.npz") for level in LEVELS]
            for path in paths
        }

    return run


def require_same(files, found, version):
    for name, (_, many, _, oldest) in files.items():
        if parsed(oldest) > parsed(version.rpartition(".")[0]):
            assert found[name] is None, f"{name} named a newer runtime than it needs"
            continue
        assert found[name] is not None, name
        for got, level in zip(found[name], LEVELS, strict=True):
            for way, weight in many.items():
                same = got[way].dtype == weight.dtype and np.array_equal(got[way], weight)
                assert same, (version, level, name, way)


def test_every_way_is_among_them(files):
    ways = {str(way) for _, _, ways, _ in files.values() for way in ways}
    assert ways == {
        *("trits", "bytes"),
        *(f"{kind}gaps of {width} bits" for kind in ("", "values, ", "seed, ") for width in WIDTHS),
    }


def test_the_installed_runtime_unpacks_every_way_to_the_bit(files, unpacked):
    version, found = unpacked("")
    require_same(files, found, version)


def test_older_runtimes_unpack_every_way_that_they_read_to_the_bit(files, unpacked, older_runtime):
    version, folder = older_runtime
    said, found = unpacked(folder)
    assert said == version
    require_same(files, found, version)
