"""Verify an exported model: parity, accuracy and latency, judged by limits, in one report."""

import numpy as np

from recycle_pipeline.evaluators import gates, machine
from recycle_pipeline.evaluators.accuracy import Accuracy, accuracy, predict_all
from recycle_pipeline.evaluators.arrays import Array, Predict, Split
from recycle_pipeline.evaluators.beside import (
    LatencySettings,
    fixed_batch,
    require_alike,
    time_beside,
    timed_batch,
)
from recycle_pipeline.evaluators.change import Change, basis, change
from recycle_pipeline.evaluators.gates import Limits, Verdict
from recycle_pipeline.evaluators.onnx_model import OnnxModel
from recycle_pipeline.evaluators.parity import Parity, compare
from recycle_pipeline.evaluators.report import Latency, VerifyReport
from recycle_pipeline.evaluators.scores import TOP_K, per_class, top_k
from recycle_pipeline.models.errors import UsageFault

__all__ = ["LatencySettings", "Limits", "VerifyReport", "verify"]

ANY_DIFFERENCE = float(np.finfo(np.float64).max)


def verify(
    model: OnnxModel,
    reference: Array | Predict,
    images: Split,
    labels: Array,
    *,
    batch_size: int,
    timed: OnnxModel | None = None,
    baseline: OnnxModel | None = None,
    same_shapes: OnnxModel | None = None,
    latency: LatencySettings | None = None,
    limits: Limits | None = None,
) -> VerifyReport:
    """Compare an exported model with its reference on a whole split, and time it.

    A missed limit is a verdict in the report, not an exception: write the report, then call
    `gates.raise_for(report.verdicts)`.

    Args:
        model: the exported model.
        reference: (N, K) logits of the torch model on `images`, or its predict callable.
        images: (N, C, H, W) in the dtype that the models take, fp32 normalised or uint8 raw.
        labels: (N,) integer classes.
        batch_size: images per call; a model with a fixed batch gets that instead, and N must divide by it.
        timed: the same file, opened with the threads to time it with; None times `model`.
        baseline: the dense twin, timed beside the model; without it there is no ratio.
        same_shapes: the model's own graph with nothing pruned, where the dense twin is larger: timed too.
        latency: how to time; None leaves timing out.
        limits: of the gates; None takes the defaults of `Limits`.

    Raises:
        UsageFault: arguments that do not fit together, before anything is measured where that can be known.
        UnfitModel: logits that are not finite or of another shape, or ONNX Runtime failed while running.
    """
    limits, timed = limits or Limits(), timed or model
    _require_consistent(timed, images, labels, baseline, latency, limits)
    if same_shapes:
        _require_consistent(timed, images, labels, same_shapes, latency, limits)
    expected = predict_all(reference, images, batch_size) if callable(reference) else reference  # (N, K)
    logits = predict_all(model.predict, images, fixed_batch(model) or batch_size)  # (N, K)
    agreement = 1.0 if limits.min_agreement is None else limits.min_agreement
    tolerance = ANY_DIFFERENCE if limits.max_difference is None else limits.max_difference
    parity = compare(expected, logits, tolerance, agreement)
    scores, changed = (accuracy(expected, labels), accuracy(logits, labels)), change(expected, logits, labels)
    beside = {"baseline": baseline, "same_shapes": same_shapes}
    timing = time_beside(timed, images, latency, **beside) if latency else None
    return VerifyReport(
        model=str(model.path),
        provider=model.provider,
        threads=model.threads,
        n=len(images),
        reference_accuracy=scores[0],
        accuracy=scores[1],
        top5=top_k(logits, labels, TOP_K),
        per_class=per_class(logits, labels),
        parity=parity,
        latency=timing,
        verdicts=_judge(parity, changed, scores[1], timing, limits, float(np.abs(logits).max())),
        machine=machine.describe(),
        metadata=model.metadata,
    )


def _judge(
    parity: Parity,
    changed: Change,
    candidate: Accuracy,
    timing: Latency | None,
    limits: Limits,
    largest: float,
) -> tuple[Verdict, ...]:
    every = limits.min_agreement is None
    judged = (
        gates.max_difference(parity.max_difference, limits.max_difference)
        if every
        else gates.min_agreement(parity.agreement, limits.min_agreement),
        gates.max_accuracy_drop(changed.drop, limits.max_accuracy_drop, str(changed)),
        gates.min_top1(candidate.top1, limits.min_top1, basis(candidate)),
        gates.max_slowdown(timing.ratio if timing else None, limits.max_slowdown),
    )
    if limits.max_magnitude is None:
        return judged
    return (*judged, gates.max_magnitude(largest, limits.max_magnitude))


def _require_consistent(
    timed: OnnxModel,
    images: Split,
    labels: Array,
    baseline: OnnxModel | None,
    latency: LatencySettings | None,
    limits: Limits,
) -> None:
    if len(images) != len(labels):
        raise UsageFault(f"{len(images)} images and {len(labels)} labels given; expected as many of each.")
    if (batch := fixed_batch(timed)) and len(images) % batch:
        raise UsageFault(
            f"{timed.path} takes exactly {batch} images a call, and {len(images)} images are no multiple. "
            "Export it with a dynamic batch, or drop the rest of the split."
        )
    if limits.max_slowdown is not None and not (baseline and latency):
        raise UsageFault(
            f"max_slowdown {limits.max_slowdown:g} was given without a baseline or with timing left out; "
            "expected both. Give a baseline and latency settings, or leave the limit out."
        )
    if latency:
        timed_batch(timed, latency)
    if baseline:
        require_alike(timed, baseline, timed_batch(timed, latency) if latency else None)
