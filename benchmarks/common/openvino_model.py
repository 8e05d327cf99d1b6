"""An ONNX file under OpenVINO, where that is installed: it is no dependency, and only measured beside."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

try:
    import openvino
except ImportError:
    openvino = None


def in_openvino(path: Path, shape: tuple[int, ...], threads: int) -> Callable[[Any], Any] | None:
    """Images of that shape to logits on the CPU, one stream; None, and a word about it, without OpenVINO."""
    if openvino is None:
        print("openvino is not installed, and left out: pip install openvino", flush=True)
        return None
    core = openvino.Core()
    model = core.read_model(path)
    model.reshape(list(shape))
    settings = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads}
    request = core.compile_model(model, "CPU", settings).create_infer_request()

    def predict(images: Any) -> Any:
        request.infer({0: images}, share_inputs=True)
        return request.get_output_tensor(0).data.copy()

    return predict
