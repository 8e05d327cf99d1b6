"""How far the logits of an exported model are from the reference's."""

from dataclasses import dataclass

import numpy as np

from recycle_pipeline.evaluators.accuracy import require_logits
from recycle_pipeline.evaluators.arrays import Array
from recycle_pipeline.models.errors import UnfitShape, UsageFault


@dataclass(frozen=True)
class Parity:
    """Difference of two models' logits over n images.

    `max_difference` and `mean_difference` are of |candidate - reference| over all n x K logits, in units of
    the logits. `agreement` is the fraction of images with all logits within the tolerance; 1 passes, or
    what was asked for. `top1_agreement` is the fraction of images with the same top-1 class; it is no part
    of `passed`, because two nearly equal logits may swap within any tolerance.
    """

    max_difference: float
    mean_difference: float
    agreement: float
    top1_agreement: float
    n: int
    tolerance: float
    passed: bool


def compare(reference: Array, candidate: Array, tolerance: float, min_agreement: float = 1.0) -> Parity:
    """Compare two models' logits on the same images; differences are taken in fp64.

    Args:
        reference: (N, K) logits, of torch.
        candidate: (N, K) logits, of the exported model.
        tolerance: largest |difference| that passes, in units of the logits.
        min_agreement: fraction of the images that must lie within it.

    Raises:
        UsageFault: a tolerance that is negative or not finite; as UnfitShape, shapes that differ.
        UnfitModel: logits that are not finite.
    """
    if reference.shape != candidate.shape:
        raise UnfitShape(
            f"the reference has logits of shape {reference.shape}, the exported model {candidate.shape}; "
            "expected the same, from the same images. Are both of the same architecture and data set?"
        )
    if not 0 <= tolerance < float("inf"):
        raise UsageFault(f"parity tolerance {tolerance} given; expected a finite number of at least 0.")
    require_logits("the reference's logits", reference)
    require_logits("the exported model's logits", candidate)
    difference = np.abs(candidate.astype(np.float64) - reference.astype(np.float64))  # (N, K)
    agreement = float(np.mean(difference.max(axis=1) <= tolerance))
    return Parity(
        max_difference=float(difference.max()),
        agreement=agreement,
        mean_difference=float(difference.mean()),
        top1_agreement=float(np.mean(reference.argmax(axis=1) == candidate.argmax(axis=1))),
        n=len(reference),
        tolerance=tolerance,
        passed=agreement >= min_agreement,
    )
