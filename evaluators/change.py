"""Accuracy gained and lost against a reference on the same images."""

from dataclasses import dataclass

import numpy as np

from recycle_pipeline.evaluators.accuracy import Z95, Accuracy
from recycle_pipeline.evaluators.arrays import Array, Logits


@dataclass(frozen=True)
class Change:
    """Of n images, those that the reference had right and the model has not (`lost`), and the reverse."""

    lost: int
    gained: int
    n: int

    @property
    def drop(self) -> float:
        """The reference's top-1 minus the model's; from the counts: 0.95 - 0.94 > 0.01 in floating point."""
        return (self.lost - self.gained) / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of what was gained, over images: a difference of paired proportions.

        Wald's with 0.5 added to each of the four cells, which keeps its level for few changes (Agresti and
        Min, Statistics in Medicine 24, 2005).
        """
        n, lost, gained = self.n + 2, self.lost + 0.5, self.gained + 0.5
        centre = (gained - lost) / n
        half = Z95 * float(np.sqrt(lost + gained - (gained - lost) ** 2 / n)) / n
        return max(-1.0, centre - half), min(1.0, centre + half)

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"95 % interval {low:+.3%} to {high:+.3%}, n = {self.n:,} images, {self.lost:,} lost and "
            f"{self.gained:,} gained"
        )


def change(reference: Logits, logits: Logits, labels: Array) -> Change:
    """Of two models' (N, K) logits on the same images, and (N,) labels."""
    before, after = (found.argmax(axis=1) == labels for found in (reference, logits))
    return Change(int(np.count_nonzero(before & ~after)), int(np.count_nonzero(after & ~before)), len(labels))


def basis(top1: Accuracy) -> str:
    """What an accuracy rests on, for a sentence."""
    return f"95 % interval {top1.low:.3%} to {top1.high:.3%}, n = {top1.n:,} images"
