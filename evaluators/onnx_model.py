"""An open ONNX model: one tensor of images in, one tensor of logits out."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recycle_pipeline.evaluators.arrays import Array
from recycle_pipeline.evaluators.providers import ORT_ERRORS, brief
from recycle_pipeline.models.errors import RecycleError, UnfitModel, UnfitShape

MEMORY = ("alloc", "out of memory")  # in what ONNX Runtime says where that ran out
UNPACKS = "unpack "  # how the names of operators begin that give an unpacked weight

DTYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}


@dataclass(frozen=True, eq=False)
class OnnxModel:
    """An ONNX file with one input and one output, ready to run.

    `input_shape` holds None for a dynamic dimension; `threads` is the number of threads within one
    operator; `metadata` is what the exporter wrote into the file.
    """

    path: Path
    provider: str
    threads: int
    input_name: str
    input_shape: list[int | None]
    input_dtype: np.dtype[Any]
    output_name: str
    metadata: dict[str, str]
    session: Any = field(repr=False)

    def predict(self, images: Array) -> Array:
        """Run the model once; under CUDA this includes the copies to the device and back.

        Args:
            images: array of `input_dtype` and `input_shape`.

        Returns:
            The output as the file declares it, for a classifier (N, K) logits.

        Raises:
            UnfitShape: dtype or shape differ from the model's input.
            UnfitModel: ONNX Runtime failed while running.
            RecycleError: the same, as memory ran out, which is no fault of the model.
        """
        self._require_input(images)
        try:
            (logits,) = self.session.run([self.output_name], {self.input_name: images})
        except ORT_ERRORS as error:
            raise (RecycleError if ran_out_of_memory(str(error)) else UnfitModel)(
                f"ONNX Runtime failed while running {self.path} on {self.provider}, input {images.shape}: "
                f"{brief(error)}. If memory ran out, use a smaller batch."
            ) from error
        return np.asarray(logits)

    @property
    def unpacks_in_every_call(self) -> bool:
        """Whether ONNX Runtime left operators in the graph that unpack weights: right, but slow.

        It does where constant folding is off, or limited to less than the weights take. False where this
        version cannot tell (before 1.24).
        """
        return any(node.name.startswith(UNPACKS) for node in self._nodes())

    @property
    def operators(self) -> frozenset[str]:
        """Kinds of operators that ONNX Runtime left in the graph; none where it cannot tell (before 1.24)."""
        return frozenset(node.op_type for node in self._nodes())

    def _nodes(self) -> list[Any]:
        """Those that a call runs; none where this version of ONNX Runtime cannot tell."""
        if not hasattr(self.session, "get_provider_graph_assignment_info"):
            return []
        parts = self.session.get_provider_graph_assignment_info()
        return [node for part in parts for node in part.get_nodes()]

    def _require_input(self, images: Array) -> None:
        fits = images.ndim == len(self.input_shape) and all(
            want is None or want == have for want, have in zip(self.input_shape, images.shape, strict=True)
        )
        if not fits or images.dtype != self.input_dtype:
            wanted = ", ".join("any" if size is None else str(size) for size in self.input_shape)
            raise UnfitShape(
                f"{self.path} was given {images.dtype} images of shape {images.shape}; its input "
                f"{self.input_name!r} takes {self.input_dtype} of shape ({wanted}). Convert the images first."
            )


def ran_out_of_memory(said: str) -> bool:
    """Whether what ONNX Runtime says is that memory ran out, which is no fault of a model."""
    return any(word in said.lower() for word in MEMORY)


def describe(file: Path, provider: str, threads: int, session: Any) -> OnnxModel:
    """Read the names, shapes and metadata of a session with one tensor in and one out."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        names = [[node.name for node in nodes] for nodes in (inputs, outputs)]
        raise UnfitShape(
            f"{file} has inputs {names[0]} and outputs {names[1]}; a classifier with one input (images) and "
            "one output (logits) was expected. Export it without the others."
        )
    (source,), (target,) = inputs, outputs
    if source.type not in DTYPES:
        raise UnfitShape(
            f"{file}: input {source.name!r} is a {source.type}; expected one of {', '.join(DTYPES)}."
        )
    return OnnxModel(
        path=file,
        provider=provider,
        threads=threads,
        input_name=source.name,
        input_shape=[size if isinstance(size, int) else None for size in source.shape],
        input_dtype=np.dtype(DTYPES[source.type]),
        output_name=target.name,
        metadata=dict(session.get_modelmeta().custom_metadata_map),
        session=session,
    )
