"""A form that gives the very logits of `onnx` where a session is told so: whether it does."""

from typing import TYPE_CHECKING, Any

import numpy as np

from recycle_pipeline.pipeline.forms import Form

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recycle_pipeline.evaluators.gates import Verdict
    from recycle_pipeline.evaluators.onnx_model import OnnxModel

FOLDED = "DequantizeLinear"  # what a session that is told so makes plain weights of, once


def gives_them_here(form: Form) -> bool:
    """Whether this onnxruntime is one under which the form promises them."""
    from recycle_pipeline.evaluators.machine import describe
    from recycle_pipeline.exporters.onnx.runtime import parsed

    installed = ".".join(describe().onnxruntime.split(".")[:2])
    return form.exact_told is not None and parsed(installed) >= parsed(form.exact_from)


def judge_told(
    form: Form, told: "OnnxModel", logits: "NDArray[np.float32]", onnx: "NDArray[np.float32]"
) -> tuple[dict[str, Any], "Verdict"] | None:
    """What was found, and the verdict on it; None where constant folding is off, so nothing is promised.

    Args:
        form: one with `exact_told`.
        told: the form's file in a session that was told so.
        logits: its, (N, K).
        onnx: those of `onnx` under the same provider, (N, K).
    """
    from recycle_pipeline.evaluators.gates import max_difference_told

    if FOLDED in told.operators:
        return None
    assert form.exact_told is not None
    difference, said = float(np.abs(logits - onnx).max()), " = ".join(form.exact_told)
    return {"told": said, "max_difference": difference}, max_difference_told(difference, said)
