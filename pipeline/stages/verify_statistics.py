"""What rounding batch norm's numbers did, where a ticket was packed so: beside what the search left."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recycle_pipeline.evaluators import gates
from recycle_pipeline.evaluators.accuracy import accuracy
from recycle_pipeline.evaluators.change import change
from recycle_pipeline.evaluators.gates import Verdict
from recycle_pipeline.evaluators.parity import compare

if TYPE_CHECKING:
    from recycle_pipeline.models.subnetwork import Subnetwork

Logits = NDArray[np.float32]


def statistics_bits(subnetwork: "Subnetwork") -> int | None:
    """Of a ticket's batch-norm numbers, as its recipe says; None where they are as they were searched."""
    from recycle_pipeline.exporters.ticket.rounding import FIELD

    bits = subnetwork.recipe.get(FIELD)
    return bits if type(bits) is int else None


def statistics_effect(
    bits: int, lossless: Logits, rounded: Logits, labels: NDArray[Any], limit: float | None
) -> tuple[dict[str, Any], Verdict]:
    """The facts, and whether no more accuracy was lost than `--max-accuracy-drop` allows.

    Args:
        bits: of fractions, that are left.
        lossless, rounded: (N, K) logits in torch, of what was searched and of the ticket.
        labels: (N,) classes.
        limit: of the accuracy lost; a fraction, or None.
    """
    before, after = accuracy(lossless, labels), accuracy(rounded, labels)
    parity = compare(lossless, rounded, float(np.finfo(np.float64).max))
    facts = {
        "bits": bits,
        "lossless_top1": before.top1,
        "top1": after.top1,
        "top1_agreement": parity.top1_agreement,
        "max_difference": parity.max_difference,
        "n": after.n,
    }
    changed = change(lossless, rounded, labels)
    verdict = gates.max_accuracy_drop(changed.drop, limit, str(changed))
    sentence = f"batch norm rounded to {bits} bits of fraction: {verdict.sentence}"
    return facts, dataclasses.replace(verdict, sentence=sentence)
