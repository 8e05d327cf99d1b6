"""What forms need besides a version of onnxruntime: said in their files, by `verify`, in report and card."""

from collections.abc import Mapping

LIBRARY = "the library of recycle_pipeline.exporters.kernel"
# By the form's name; one that is not here needs nothing.
NEEDS: Mapping[str, str] = {
    "onnx-seed": "no OpenVINO, which gives wrong logits of it without a word",
    "onnx-kernel": LIBRARY,
    "onnx-kernel-fp32": LIBRARY,
    "onnx-fp16": "a GPU to be faster",
    "onnx-int2": "onnxruntime 1.25 and session.disable_quant_qdq = 1 for the logits and the time of onnx",
}
