"""Accuracy besides top-1: among the first k classes, and class by class."""

import numpy as np

from recycle_pipeline.evaluators.accuracy import Accuracy, accuracy, require_logits, wilson
from recycle_pipeline.evaluators.arrays import Array
from recycle_pipeline.models.errors import UsageFault

TOP_K = 5  # what "top-5" is; of fewer classes, all


def top_k(logits: Array, labels: Array, k: int) -> Accuracy:
    """How often the label is among the k largest logits; of equal logits the first classes count.

    Args:
        logits: (N, K), finite.
        labels: (N,) integers from 0 to K - 1.
        k: at least 1; beyond K it is K.

    Raises:
        UsageFault: k below 1, or shapes and labels as `accuracy` refuses them.
        RecycleError: logits that are not finite.
    """
    if k < 1:
        raise UsageFault(f"the {k} largest logits were asked for; expected 1 or more.")
    accuracy(logits, labels)  # refuses what does not fit
    own = logits[np.arange(len(labels)), labels][:, None]  # (N, 1)
    before = (logits > own) | ((logits == own) & (np.arange(logits.shape[1]) < labels[:, None]))  # (N, K)
    return _of(before.sum(axis=1) < k)


def per_class(logits: Array, labels: Array) -> tuple[Accuracy | None, ...]:
    """Top-1 among the images of each class; None for a class that has none.

    Raises:
        RecycleError: logits that are not finite.
    """
    require_logits("the logits", logits)
    right = logits.argmax(axis=1) == labels  # (N,)
    groups = (right[labels == each] for each in range(logits.shape[1]))
    return tuple(_of(group) if len(group) else None for group in groups)


def _of(right: Array) -> Accuracy:
    """Of (n,) booleans."""
    correct, n = int(np.count_nonzero(right)), len(right)
    low, high = wilson(correct, n)
    return Accuracy(correct / n, correct, n, low, high)
