"""Logits of a split, and top-1 accuracy with its interval."""

from dataclasses import dataclass

import numpy as np

from recycle_pipeline.evaluators.arrays import Array, Logits, Predict, Split
from recycle_pipeline.models.errors import UnfitModel, UnfitShape, UsageFault

Z95 = 1.959963984540054  # two-sided 95 % of the normal distribution


@dataclass(frozen=True)
class Accuracy:
    """Top-1 accuracy on a split: a fraction, its counts, and its Wilson 95 % interval."""

    top1: float
    correct: int
    n: int
    low: float
    high: float


def predict_all(predict: Predict, images: Split, batch_size: int) -> Logits:
    """Run a model over a split, batch by batch.

    Args:
        predict: takes (b, ...) images with b up to `batch_size`, gives (b, K) logits.
        images: (N, ...), in the dtype that `predict` takes.
        batch_size: images per call; the last call gets the rest.

    Returns:
        (N, K) logits in fp32.

    Raises:
        UsageFault: no images, a batch size below 1, or, as UnfitShape, an output that is not (b, K).
    """
    if batch_size < 1 or len(images) == 0:
        raise UsageFault(
            f"{len(images)} images in batches of {batch_size} given; expected at least one image and batches "
            "of at least 1."
        )
    starts = range(0, len(images), batch_size)
    return np.concatenate([_predict(predict, images[i : i + batch_size]) for i in starts])  # (N, K)


def accuracy(logits: Array, labels: Array) -> Accuracy:
    """Top-1 accuracy of logits; of equal logits the first class counts.

    Args:
        logits: (N, K), finite.
        labels: (N,) integers from 0 to K - 1.

    Raises:
        UsageFault: shapes that do not fit, or labels that are no classes of the logits.
        UnfitModel: logits that are not finite.
    """
    require_logits("the logits", logits)
    _require_labels(labels, *logits.shape)
    correct, n = int(np.count_nonzero(logits.argmax(axis=1) == labels)), len(labels)
    low, high = wilson(correct, n)
    return Accuracy(top1=correct / n, correct=correct, n=n, low=low, high=high)


def wilson(correct: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a proportion (E. B. Wilson, 1927), without continuity correction.

    Unlike the usual p +- z sqrt(p (1 - p) / n) it stays within [0, 1] and keeps a width at 0 and n correct.

    Raises:
        UsageFault: not 0 <= correct <= n with n >= 1.
    """
    if not 0 <= correct <= n or n < 1:
        raise UsageFault(f"{correct} correct of {n} given; expected 0 <= correct <= n with n of at least 1.")
    p, z2 = correct / n, Z95**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * float(np.sqrt(p * (1 - p) / n + z2 / (4 * n * n)))
    low, high = (0.0 if correct == 0 else centre - half), (1.0 if correct == n else centre + half)
    return low, high


def require_logits(what: str, logits: Array) -> None:
    """Refuse anything but finite (N, K) numbers.

    Raises:
        UsageFault: not (N, K) with N and K of at least 1.
        UnfitModel: a value that is NaN or infinite.
    """
    if logits.ndim != 2 or 0 in logits.shape:
        raise UsageFault(f"{what} have shape {logits.shape}; expected (N, K), a row of K classes per image.")
    bad = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if bad.size:
        raise UnfitModel(
            f"{what} are not finite in {bad.size} of {len(logits)} rows (first: image {bad[0]}); NaN or "
            "infinite logits have no class. Look for overflow in fp16 or a variance of zero in a batch norm."
        )


def _predict(predict: Predict, batch: Array) -> Logits:
    logits = np.asarray(predict(batch))
    if logits.ndim != 2 or len(logits) != len(batch):
        raise UnfitShape(
            f"the model gave an output of shape {logits.shape} for {len(batch)} images; expected "
            f"({len(batch)}, K) logits. Is it a classifier?"
        )
    with np.errstate(over="ignore"):  # beyond fp32 becomes infinite, which `require_logits` names
        return logits.astype(np.float32, copy=False)


def _require_labels(labels: Array, n: int, classes: int) -> None:
    if labels.shape != (n,) or not np.issubdtype(labels.dtype, np.integer):
        raise UsageFault(
            f"labels are {labels.dtype} of shape {labels.shape}; expected integers of shape ({n},), "
            "one for each row of logits."
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise UsageFault(
            f"labels range from {labels.min()} to {labels.max()}; expected 0 to {classes - 1}, because the "
            f"logits have {classes} classes. Do model and data set belong together?"
        )
