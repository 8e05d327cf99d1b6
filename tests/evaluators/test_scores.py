"""Top-5 and accuracy by class beside plain numpy; several models in one table."""

import json

import numpy as np
import pytest

from recycle_pipeline.evaluators.gates import Limits
from recycle_pipeline.evaluators.scores import per_class, top_k
from recycle_pipeline.evaluators.session import open_session
from recycle_pipeline.evaluators.verify_models import Table, score
from recycle_pipeline.models.errors import UsageFault


def test_top_k_is_that_of_a_stable_sort():
    rng = np.random.default_rng(0)
    logits = rng.integers(0, 4, (200, 7)).astype(np.float32)  # many ties
    labels = rng.integers(0, 7, 200)
    for k in (1, 2, 5, 7, 9):
        best = np.argsort(-logits, axis=1, kind="stable")[:, :k]
        assert top_k(logits, labels, k).correct == (best == labels[:, None]).any(axis=1).sum()


def test_classes_are_counted_each_by_itself_and_an_absent_one_is_none():
    logits = np.eye(3, dtype=np.float32)[[0, 0, 1, 0]]
    found = per_class(logits, np.array([0, 0, 1, 1]))
    assert [each and (each.correct, each.n) for each in found] == [(2, 2), (1, 2), None]


def test_no_largest_logits_are_refused():
    with pytest.raises(UsageFault, match="1 or more"):
        top_k(np.ones((2, 3), np.float32), np.array([0, 1]), 0)


def test_models_share_a_table_and_gates_name_the_one_that_missed(write_linear, weights, images):
    paths = [
        write_linear(weights, name="same.onnx"),
        write_linear(weights[:, ::-1].copy(), name="turned.onnx"),
    ]
    models = [open_session(path, "cpu", 1) for path in paths]
    labels = (images.reshape(20, 48) @ weights).argmax(axis=1)
    limits = Limits(max_difference=1e-3, max_accuracy_drop=0.0, min_top1=0.9)
    best, rows = score(models, lambda _: images, labels, None, limits, 8)
    table = Table("the first", best, "noise", tuple("abcdefghij"), 20, tuple(rows))
    assert best.top1 == rows[0].top1.top1 == rows[0].parity.top1_agreement == 1.0
    assert {verdict.outcome for verdict in rows[0].verdicts} == {"passed"}
    failed = [verdict for verdict in table.named_verdicts if verdict.outcome == "failed"]
    assert [verdict.name for verdict in failed] == ["max_difference", "max_accuracy_drop", "min_top1"]
    assert all("turned.onnx" in verdict.sentence for verdict in failed)
    found = json.loads(json.dumps(table.to_json(), allow_nan=False))
    assert (found["schema"], found["passed"], len(found["models"])) == (1, False, 2)


def test_limits_that_nobody_gave_are_not_judged(write_linear, weights, images):
    model = open_session(write_linear(weights), "cpu", 1)
    limits = Limits(max_difference=None)
    _, (row,) = score([model], lambda _: images, np.zeros(20, np.int64), None, limits, 8)
    assert {verdict.outcome for verdict in row.verdicts} == {"not-asked"}
