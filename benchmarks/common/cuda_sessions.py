"""Calls of ONNX models on a GPU whose images and logits stay there."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.evaluators.providers import ort as onnxruntime  # with its telemetry off

CUDA = "CUDAExecutionProvider"


def bound(path: Path, images: NDArray[np.float32], options: Mapping[str, str]) -> Callable[[], object]:
    """A call that runs a model on images that lie on the GPU, and waits until its logits lie there too.

    Args:
        path: a model with one input and one output.
        images: as it takes them; copied to the GPU once, here.
        options: of onnxruntime's CUDA provider.
    """
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), settings, providers=[(CUDA, dict(options))])
    if session.get_providers()[0] != CUDA:
        raise RuntimeError(f"{path} runs on {session.get_providers()[0]}; a GPU is needed")
    binding = session.io_binding()
    binding.bind_ortvalue_input(
        session.get_inputs()[0].name, onnxruntime.OrtValue.ortvalue_from_numpy(images, "cuda", 0)
    )
    binding.bind_output(session.get_outputs()[0].name, "cuda")

    def call() -> None:
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()

    return call
