#!/usr/bin/env python3
"""The largest ONNX file that is written, 1.9 GB of weights, and the same packed: written, opened, compared.

    python benchmarks/onnx_largest.py --record benchmarks/records/X.json

One matrix of 19,000 x 25,000 float32, 1 % of it kept, of one magnitude. Needs about 8 GB of memory.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from common.record import write_record
from onnx import TensorProto, helper

from recycle_pipeline.evaluators.session import open_session
from recycle_pipeline.exporters.onnx.compact.convert import compact
from recycle_pipeline.exporters.onnx.dense import LARGEST_FILE, write_model

ROWS, COLUMNS, KEPT = 19_000, 25_000, 0.01
LOOKED_AT = 64  # images, each one row of the matrix


def made() -> onnx.ModelProto:
    generator, weight = np.random.default_rng(0), np.zeros((ROWS, COLUMNS), np.float32)
    places = generator.integers(0, weight.size, int(weight.size * KEPT))
    weight.reshape(-1)[places] = np.where(places % 2, 0.5, -0.5)
    item = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=weight.shape, raw_data=weight.tobytes())
    assert len(item.raw_data) == LARGEST_FILE
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", ROWS])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", COLUMNS])
    node = helper.make_node("MatMul", ["images", "w"], ["logits"])
    graph = helper.make_graph([node], "largest", [images], [logits], [item])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def written(model: onnx.ModelProto, path: Path) -> dict[str, Any]:
    started = time.perf_counter()
    write_model(model, {}, path)
    return {"bytes": path.stat().st_size, "write_seconds": time.perf_counter() - started}


def opened(path: Path, images: Any) -> tuple[dict[str, Any], Any]:
    started = time.perf_counter()
    session = open_session(path, "cpu", 1)
    return {"load_seconds": time.perf_counter() - started}, session.predict(images)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="for the two files [a temporary one]")
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    images = np.zeros((LOOKED_AT, ROWS), np.float32)
    images[np.arange(LOOKED_AT), np.linspace(0, ROWS - 1, LOOKED_AT).astype(int)] = 1
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        paths = {name: Path(folder) / f"{name}.onnx" for name in ("onnx", "onnx-compact")}
        model = made()
        rows = {"onnx": written(model, paths["onnx"])}
        compact(model)
        rows["onnx-compact"] = written(model, paths["onnx-compact"])
        del model
        logits = {}
        for name, path in paths.items():
            row, logits[name] = opened(path, images)
            rows[name] |= row
    equal = bool(np.array_equal(logits["onnx"], logits["onnx-compact"]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    found = {"rows": rows, "equal_to_the_bit": equal, "images": LOOKED_AT, "peak_memory_gb": peak}
    print(found)
    write_record(args.record, __doc__.splitlines()[0], **found)


if __name__ == "__main__":
    main()
