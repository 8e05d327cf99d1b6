"""`--export onnx`: a dense-equivalent float32 model in one file, by torch's dynamo exporter."""

import contextlib
import dataclasses
import io
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from recycle_pipeline.exporters.atomic import replacing
from recycle_pipeline.exporters.onnx.fault import layer_at_fault
from recycle_pipeline.exporters.onnx.kept_traces import forgetting
from recycle_pipeline.exporters.onnx.names import name_after_layers
from recycle_pipeline.exporters.onnx.operator_at_fault import operator_at_fault
from recycle_pipeline.exporters.onnx.runtime import USUAL, Versions
from recycle_pipeline.models.errors import RecycleError

FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)
LARGEST_FILE = 1_900_000_000  # bytes of weights
INPUT = "images"
OUTPUT = "logits"

Model = onnx.ModelProto  # for those who may not import onnx


@dataclass(frozen=True)
class InputSpec:
    """What the exported model takes.

    Attributes:
        channels, image_size: images are (batch, channels, image_size, image_size).
        mean, std: per channel, of pixels / 255.
        embed_preprocessing: the model takes uint8 pixels and normalises inside the graph; otherwise
            it takes float32, already normalised.
    """

    channels: int
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    embed_preprocessing: bool

    def example(self, batch: int = 2) -> Tensor:
        shape = (batch, self.channels, self.image_size, self.image_size)
        return torch.zeros(shape, dtype=torch.uint8 if self.embed_preprocessing else torch.float32)


class WithPreprocessing(nn.Module):
    """(N, C, S, S) uint8 pixels to logits: normalises, then runs the network."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, spec: InputSpec) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(spec.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(spec.std).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network((images.to(torch.float32) / 255.0 - self.mean) / self.std)
        return logits


def export_dense(network: nn.Module, spec: InputSpec, metadata: Mapping[str, str], path: Path) -> None:
    """Writes `network` (eval mode) as one ONNX file, atomically, and checks it.

    Raises:
        RecycleError: the network cannot be exported, or the result fails ONNX's checker.
        OSError: the file cannot be written.
    """
    write_model(to_onnx(network, spec), metadata, path)


def write_model(model: onnx.ModelProto, metadata: Mapping[str, str], path: Path) -> None:
    """Stamps a model in place, checks it and writes it as one file, atomically.

    Raises:
        RecycleError: it is too large for one file, has a weight that is not finite, or fails ONNX's checker.
        OSError: the file cannot be written.
    """
    stamp(model, metadata)
    require_one_file(model)
    require_finite(model)
    check = partial(onnx.checker.check_model, full_check=True)
    try:
        check(model)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        where = operator_at_fault(model, check)
        raise RecycleError(f"the exported model does not pass ONNX's checker{where}: {error}") from error
    with replacing(path) as temporary:
        onnx.save(model, str(temporary))


def require_one_file(model: onnx.ModelProto) -> None:
    """Refuses a model whose weights one file cannot hold: protobuf ends at 2 GB.

    Raises:
        RecycleError: it is one.
    """
    sparse = (part for item in model.graph.sparse_initializer for part in (item.values, item.indices))
    size = sum(len(item.raw_data) for item in (*model.graph.initializer, *sparse))
    if size > LARGEST_FILE:
        raise RecycleError(
            f"the model's weights take {size / 1e9:.2f} GB, and one ONNX file holds {LARGEST_FILE / 1e9:g}: "
            "expected a smaller network, such as one of less --width"
        )


def require_finite(model: onnx.ModelProto) -> None:
    """Refuses a model with a weight that is NaN or infinite.

    Raises:
        RecycleError: it has one; names it.
    """
    for item in model.graph.initializer:
        if item.data_type in FLOATS and not np.isfinite(onnx.numpy_helper.to_array(item)).all():
            raise RecycleError(f"the model's {item.name} holds NaN or infinity; expected finite weights")


def to_onnx(
    network: nn.Module, spec: InputSpec, versions: Versions = USUAL, plain: nn.Module | None = None
) -> onnx.ModelProto:
    """The network as a model with input `images` of dynamic batch and output `logits`.

    Args:
        network: eval mode.
        spec: of what the model takes.
        versions: that it is written in.
        plain: where `network` was traced, what it was traced from, whose layers have the names that its user
            knows.

    Raises:
        RecycleError: torch cannot export it; names the layer where one by itself cannot be exported either.
    """
    whole = WithPreprocessing(network, spec).eval() if spec.embed_preprocessing else network

    def export(module: nn.Module, given: tuple[Tensor, ...]) -> Any:
        return _exported(module, given, versions.opset)

    try:
        program = export(whole, (spec.example(),))
    except Exception as error:  # the exporter has no single error class
        images = dataclasses.replace(spec, embed_preprocessing=False).example()
        where = layer_at_fault(network if plain is None else plain, images, export)
        what = f"this network to ONNX{where}"
        raise RecycleError(f"torch cannot export {what}: {_first_line(error)}") from error
    if program is None:
        raise RecycleError("torch.onnx.export gave no model; expected an ONNXProgram from torch >= 2.11")
    model: onnx.ModelProto = program.model_proto
    model.ir_version = versions.ir_version
    return model


def _exported(module: nn.Module, given: tuple[Tensor, ...], opset: int) -> Any:
    def export() -> Any:
        return torch.onnx.export(
            module,
            given,
            dynamo=True,
            external_data=False,
            opset_version=opset,
            dynamic_shapes=tuple({0: torch.export.Dim("batch")} for _ in given),
            input_names=[INPUT] if len(given) == 1 else None,
            output_names=[OUTPUT] if len(given) == 1 else None,
            verbose=False,
        )

    with _quiet():
        return forgetting(export)


def _first_line(error: Exception) -> str:
    # torch wraps what happened in a page of advice, in colours; the cause is what happened.
    cause = error.__cause__ or error
    text = re.sub("\x1b\\[[0-9;]*m", "", str(cause)).strip()
    return f"{type(cause).__name__}: {text.partition(chr(10))[0]}"


def stamp(model: onnx.ModelProto, metadata: Mapping[str, str]) -> None:
    """Sets producer and metadata, names operators; drops the exporter's per-node notes with local paths."""
    model.producer_name = "recycle-pipeline"
    model.ClearField("producer_version")  # torch's
    model.ClearField("doc_string")
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, versions_of(model) | dict(metadata))
    _drop_notes(model.graph)
    name_after_layers(model.graph)


def versions_of(model: onnx.ModelProto) -> dict[str, str]:
    """Opset and IR version, as the metadata have them."""
    opset = next(each.version for each in model.opset_import if not each.domain)
    return {"opset": str(opset), "ir_version": str(model.ir_version)}


def _drop_notes(graph: onnx.GraphProto) -> None:
    """Also in graphs inside of nodes (If, Loop)."""
    for item in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del item.metadata_props[:]
        item.ClearField("doc_string")
    for attribute in (a for node in graph.node for a in node.attribute):
        for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            _drop_notes(inner)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints, logs and warns about its own internals; only its exceptions matter here.

    Of a network that it cannot export it prints every graph that it tried. Its loggers are made while it
    works, with handlers of their own: no level of one of them holds for all.
    """
    before, printed = logging.root.manager.disable, io.StringIO()
    logging.disable(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
