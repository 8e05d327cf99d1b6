#!/usr/bin/env python3
r"""Which convolutions cuDNN has no float16 plan for, and what multiples of 8 channels change.

    python benchmarks/fp16_shapes.py --data-root DIR --batch-sizes 1 256 --record FILE TICKET

`onnx-fp16` of a ticket as it is exported, in multiples of 4 channels; shrunk to multiples of 8; and in the
shapes of the architecture: each with and without the CUDA provider's prefer_nhwc, timed beside `onnx` of the
same shapes with TF32, images and logits on the GPU. Then every convolution of other shape by itself, with its
ReLU: in float16 as it is and with its channels filled up to multiples of 8, either way with and without
prefer_nhwc, and in float32 with TF32.

`said` is what was printed while a session was opened and run once; "No execution plans support the graph"
is cuDNN's, and onnxruntime then goes another way. Without a GPU `--provider cpu` tries the script itself.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from common.cuda_sessions import bound
from common.record import write_record
from onnx import helper, numpy_helper

from recycle_pipeline.evaluators.latency import measure, ratio_of_medians
from recycle_pipeline.evaluators.providers import ORT_ERRORS, brief
from recycle_pipeline.evaluators.providers import ort as onnxruntime  # with its telemetry off
from recycle_pipeline.exporters.onnx.fp16 import halved
from recycle_pipeline.exporters.onnx.shrink import shrink
from recycle_pipeline.pipeline.data import load
from recycle_pipeline.pipeline.data.image_set import ImageSet
from recycle_pipeline.pipeline.data.prepared import normalised
from recycle_pipeline.pipeline.dense_model import dense, fold_without_images
from recycle_pipeline.pipeline.rebuild import rebuild

TF32, HALF, NHWC = {"use_tf32": "1"}, {"use_tf32": "0"}, {"use_tf32": "0", "prefer_nhwc": "1"}
Call = Callable[[], object]


@dataclass(frozen=True)
class Shape:
    """Of a convolution: channels, filters, side of its kernel, stride, padding, side of its maps."""

    channels: int
    filters: int
    kernel: int
    stride: int
    padding: int
    side: int

    def filled(self) -> "Shape":
        """With channels and filters in multiples of 8."""
        up = [-(-count // 8) * 8 for count in (self.channels, self.filters)]
        return Shape(*up, self.kernel, self.stride, self.padding, self.side)


def models_of(ticket: Path) -> dict[str, onnx.ModelProto]:
    """Dense-equivalent models, by how they were shrunk."""
    rebuilt = rebuild(ticket)
    whole = dense(fold_without_images(rebuilt), rebuilt.subnetwork, ticket, list)[0].model
    parts = {f"multiples of {block}": shrink(whole, merge=False, block=block).model for block in (4, 8)}
    return parts | {"whole": whole}


def shapes_of(model: onnx.ModelProto) -> list[Shape]:
    """Of its square convolutions, each once."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    sizes = {
        each.name: [d.dim_value for d in each.type.tensor_type.shape.dim]
        for each in (*inferred.value_info, *inferred.input)
    }
    weights = {item.name: list(item.dims) for item in model.graph.initializer}
    found = dict[Shape, None]()
    for node in model.graph.node:
        if node.op_type == "Conv":
            filters, channels, kernel, _ = weights[node.input[1]]
            said = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            stride, padding = said.get("strides", [1])[0], said.get("pads", [0])[0]
            found[Shape(channels, filters, kernel, stride, padding, sizes[node.input[0]][2])] = None
    return list(found)


def alone(shape: Shape, kind: type, path: Path) -> Path:
    """A model of one convolution and its ReLU, of this type, written."""
    random = np.random.default_rng(0)
    weight = random.standard_normal((shape.filters, shape.channels, shape.kernel, shape.kernel)) * 0.05
    constants: dict[str, Any] = {"w": weight.astype(kind), "b": np.zeros(shape.filters, kind)}
    conv = helper.make_node(
        "Conv",
        ["x", "w", "b"],
        ["y"],
        strides=[shape.stride] * 2,
        pads=[shape.padding] * 4,
        kernel_shape=[shape.kernel] * 2,
    )
    element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    graph = helper.make_graph(
        [conv, helper.make_node("Relu", ["y"], ["z"])],
        "alone",
        [helper.make_tensor_value_info("x", element, ["n", shape.channels, shape.side, shape.side])],
        [helper.make_tensor_value_info("z", element, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


@contextmanager
def overheard() -> Iterator[list[str]]:
    """What is printed on stderr meanwhile, also by libraries: filled in at the end, each line once."""
    found = list[str]()
    with tempfile.TemporaryFile() as file:
        before = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield found
        finally:
            os.dup2(before, 2)
            os.close(before)
            file.seek(0)
            found += dict.fromkeys(file.read().decode(errors="replace").splitlines())


def opened(
    path: Path, images: Any, options: Mapping[str, str], provider: str
) -> tuple[Call | None, list[str]]:
    """A call that has run once, None where it does not; and what was said."""
    call, why = None, list[str]()
    with overheard() as said:
        try:
            found = bound(path, images, options) if provider == "cuda" else on_cpu(path, images)
            found()
            call = found
        except ORT_ERRORS as error:  # the other arms still count
            why.append(f"failed: {brief(error)}")
    return call, said + why


def on_cpu(path: Path, images: Any) -> Call:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return partial(session.run, None, {session.get_inputs()[0].name: images})


def whole_models(ticket: Path, images: ImageSet, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Rows of the ticket's models."""
    subnetwork = rebuild(ticket).subnetwork
    with tempfile.TemporaryDirectory() as folder:
        plain, half = Path(folder) / "plain.onnx", Path(folder) / "half.onnx"
        for name, model in models_of(ticket).items():
            onnx.save(model, plain)
            onnx.save(halved(model), half)
            for batch in args.batch_sizes:
                some = np.resize(
                    np.asarray(images.test_images[:batch]), (batch, *images.test_images.shape[1:])
                )
                pixels = normalised(some, subnetwork.mean, subnetwork.std)
                base, _ = opened(plain, pixels, TF32, args.provider)
                for layout, options in (("NCHW", HALF), ("NHWC", NHWC)):
                    call, said = opened(half, pixels, options, args.provider)
                    row = {"shapes": name, "layout": layout, "batch": batch, "said": said}
                    yield row | (timed({"form": call, "base": base}, args) if call and base else {})


def convolutions(ticket: Path, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Rows of the convolutions of the model as it is exported."""
    batch = max(args.batch_sizes)
    with tempfile.TemporaryDirectory() as folder:
        for shape in shapes_of(models_of(ticket)["multiples of 4"]):
            arms = {
                f"{name}, {layout}": (each, np.float16, options)
                for name, each in (("float16", shape), ("filled", shape.filled()))
                for layout, options in (("NCHW", HALF), ("NHWC", NHWC))
            }
            calls, row = dict[str, Call](), dict[str, Any](convolution=asdict(shape), batch=batch)
            for name, (each, kind, options) in (arms | {"tf32": (shape, np.float32, TF32)}).items():
                path = alone(each, kind, Path(folder) / "alone.onnx")
                zeros = np.zeros((batch, each.channels, each.side, each.side), kind)
                call, row[f"{name}, said"] = opened(path, zeros, options, args.provider)
                if call:
                    calls[name] = call
            samples = measure(calls, seconds=args.seconds, min_rounds=args.rounds, seed=0)
            yield row | {f"{name}, ms": samples[name].median for name in calls}


def timed(pair: Mapping[str, Call], args: argparse.Namespace) -> dict[str, Any]:
    samples = measure(dict(pair), seconds=args.seconds, min_rounds=args.rounds, seed=0)
    found = asdict(ratio_of_medians(samples["form"], samples["base"], 0))
    return {"ms": samples["form"].median, "tf32_ms": samples["base"].median} | found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ticket", type=Path)
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--provider", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 256])
    parser.add_argument("--seconds", type=float, default=0.5, help="of timing, for each pair [0.5]")
    parser.add_argument("--rounds", type=int, default=20, help="of timing at least, for each pair [20]")
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    if args.provider == "cuda":
        import torch  # its CUDA libraries are the ones that onnxruntime finds

        assert torch.cuda.is_available(), "expected a GPU, or --provider cpu"
        onnxruntime.preload_dlls()
    images, rows = load(args.data, data_root=args.data_root), list[dict[str, Any]]()
    for found in (whole_models(args.ticket, images, args), convolutions(args.ticket, args)):
        for row in found:
            rows.append(row)
            print(json.dumps(row), flush=True)
    write_record(args.record, __doc__.splitlines()[0], ticket=args.ticket.name, rows=rows)


if __name__ == "__main__":
    main()
