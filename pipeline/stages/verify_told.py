"""A form that gives the very logits of `onnx` where a session is told so: whether it does."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from recycle_pipeline.models.errors import CorruptArtefact, ProviderUnavailable, UnfitModel
from recycle_pipeline.pipeline.forms import Form

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from recycle_pipeline.evaluators.gates import Verdict
    from recycle_pipeline.evaluators.onnx_model import OnnxModel

FOLDED = "DequantizeLinear"  # what a session that is told so makes plain weights of, once


def promises_here(form: Form) -> bool:
    """Whether the form promises them under this onnxruntime."""
    from recycle_pipeline.evaluators.machine import describe
    from recycle_pipeline.exporters.onnx.runtime import parsed

    installed = ".".join(describe().onnxruntime.split(".")[:2])
    return form.exact_told is not None and parsed(installed) >= parsed(form.exact_from)


def judge_told(
    form: Form,
    open_: "Callable[[dict[str, str]], OnnxModel]",
    logits_of: "Callable[[OnnxModel], NDArray[np.float32]]",
    onnx: "NDArray[np.float32]",
) -> tuple[dict[str, Any] | None, "Verdict"] | None:
    """What was found, and the verdict on it; None where nothing is promised.

    Nothing is where constant folding is off, or a provider does not run that session.

    Args:
        form: one that promises them here.
        open_: the form's file in a session that is told these entries.
        logits_of: (N, K), of a model.
        onnx: those of `onnx` under the same provider, (N, K).
    """
    from recycle_pipeline.evaluators.gates import max_difference_told
    from recycle_pipeline.evaluators.parity import compare

    assert form.exact_told is not None
    said = " = ".join(form.exact_told)
    try:
        told = open_(dict([form.exact_told]))
        if FOLDED in told.operators:
            return None
        difference = compare(onnx, logits_of(told), 0.0).max_difference
    except ProviderUnavailable:
        return None
    except (CorruptArtefact, UnfitModel) as error:  # it opened and ran without: all else of it was measured
        return None, max_difference_told(None, said, str(error))
    return {"told": said, "max_difference": difference}, max_difference_told(difference, said)
