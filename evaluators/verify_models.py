"""Several models on one split: accuracy, agreement with a reference, and gates, a row for each."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from recycle_pipeline.evaluators import gates
from recycle_pipeline.evaluators.accuracy import Accuracy, accuracy, predict_all
from recycle_pipeline.evaluators.arrays import Array, Logits, Split
from recycle_pipeline.evaluators.change import basis, change
from recycle_pipeline.evaluators.conditions import conditions
from recycle_pipeline.evaluators.files import described
from recycle_pipeline.evaluators.gates import Limits, Verdict
from recycle_pipeline.evaluators.machine import describe
from recycle_pipeline.evaluators.onnx_model import OnnxModel
from recycle_pipeline.evaluators.parity import Parity, compare
from recycle_pipeline.evaluators.scores import TOP_K, per_class, top_k
from recycle_pipeline.evaluators.verify import ANY_DIFFERENCE

SCHEMA = 1


@dataclass(frozen=True, eq=False)
class Scored:
    """One model: how often it is right, and how far it is from the reference."""

    model: OnnxModel
    top1: Accuracy
    top5: Accuracy
    per_class: tuple[Accuracy | None, ...]
    parity: Parity
    verdicts: tuple[Verdict, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain types."""
        return {
            **described(self.model.path),
            "provider": self.model.provider,
            "form": self.model.metadata.get("form"),
            "top1": asdict(self.top1),
            "top5": asdict(self.top5),
            "per_class": [each and asdict(each) for each in self.per_class],
            "parity": asdict(self.parity),
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
        }


@dataclass(frozen=True, eq=False)
class Table:
    """All models on `n` images of `data`; `reference` says whose logits they were compared with."""

    reference: str
    reference_top1: Accuracy
    data: str
    classes: tuple[str, ...]
    n: int
    rows: tuple[Scored, ...]
    notes: tuple[str, ...] = ()

    @property
    def named_verdicts(self) -> list[Verdict]:
        """Of all models, each with its model's name in the sentence."""
        return [
            replace(verdict, sentence=f"{row.model.path}: {verdict.sentence}")
            for row in self.rows
            for verdict in row.verdicts
        ]

    def to_json(self) -> dict[str, Any]:
        """Plain types. A reader must refuse a `schema` that it does not know; keys may be added."""
        passed = all(verdict.outcome in ("passed", "not-asked") for verdict in self.named_verdicts)
        return {
            "schema": SCHEMA,
            "kind": "verify-models",
            "passed": passed,
            "reference": self.reference,
            "reference_top1": asdict(self.reference_top1),
            "data": self.data,
            "classes": list(self.classes),
            "n": self.n,
            "models": [row.to_json() for row in self.rows],
            "notes": list(self.notes),
            "machine": asdict(describe()),
            "conditions": asdict(conditions()),
        }


def score(
    models: Sequence[OnnxModel],
    feed: Callable[[OnnxModel], Split],
    labels: Array,
    reference: Logits | None,
    limits: Limits,
    batch_size: int,
) -> tuple[Accuracy, list[Scored]]:
    """Runs models over a split.

    Args:
        models: open.
        feed: the images as a model takes them, (N, C, S, S).
        labels: (N,) integer classes.
        reference: (N, K) logits; None takes the first model's.
        limits: of the gates. None leaves one out; `max_slowdown` is not looked at.
        batch_size: images a call; a model of a fixed batch gets that.

    Returns:
        Top-1 of the reference, and a row for each model.

    Raises:
        UsageFault: images, labels and models that do not fit together.
        RecycleError: logits that are not finite, or ONNX Runtime failed while running.
    """
    rows = list[Scored]()
    for model in models:
        logits = predict_all(model.predict, feed(model), model.input_shape[0] or batch_size)  # (N, K)
        reference = logits if reference is None else reference
        rows.append(_row(model, logits, labels, reference, limits))
    assert reference is not None
    return accuracy(reference, labels), rows


def _row(model: OnnxModel, logits: Logits, labels: Array, reference: Logits, limits: Limits) -> Scored:
    tolerance = ANY_DIFFERENCE if limits.max_difference is None else limits.max_difference
    share = 1.0 if limits.min_agreement is None else limits.min_agreement
    parity = compare(reference, logits, tolerance, share)
    top1, changed = accuracy(logits, labels), change(reference, logits, labels)
    found = (
        gates.max_difference(parity.max_difference, limits.max_difference)
        if limits.min_agreement is None
        else gates.min_agreement(parity.agreement, limits.min_agreement),
        gates.max_accuracy_drop(changed.drop, limits.max_accuracy_drop, str(changed)),
        gates.min_top1(top1.top1, limits.min_top1, basis(top1)),
    )
    return Scored(model, top1, top_k(logits, labels, TOP_K), per_class(logits, labels), parity, found)
