"""Folding without images: random pixels, and a tolerance that grows with what they make of the logits."""

import numpy as np
import pytest
import torch

from recycle_pipeline.models.errors import RecycleError
from recycle_pipeline.models.fold import TOLERANCE
from recycle_pipeline.pipeline import dense_model
from recycle_pipeline.pipeline.rebuild import rebuild


@pytest.fixture
def rebuilt(finished):
    return rebuild(finished.ticket)


def test_the_pixels_are_random_normalised_and_the_same_on_every_call(rebuilt):
    first, second = (dense_model._random_batches(rebuilt.subnetwork) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert first[0].shape == (dense_model.BATCH_SIZE, 1, 8, 8)
    mean, std = rebuilt.subnetwork.mean[0], rebuilt.subnetwork.std[0]
    pixels = torch.cat(first).numpy() * std + mean
    assert pixels.min() >= -1e-6 and pixels.max() <= 1 + 1e-6 and abs(pixels.mean() - 0.5) < 0.02
    assert not np.array_equal(first[0], first[1])


@pytest.mark.parametrize(("factor", "grows"), [(1.0, 1.0), (1e4, None)])
def test_the_tolerance_is_that_of_images_until_logits_are_larger(rebuilt, monkeypatch, factor, grows):
    with torch.no_grad():
        last = list(rebuilt.network.parameters())[-1]
        last.mul_(factor)
        batches = dense_model._random_batches(rebuilt.subnetwork)
        largest = max(float(rebuilt.network(batch).abs().max()) for batch in batches)
    asked = []
    monkeypatch.setattr(dense_model, "fold_batch_norm", lambda *arguments: asked.append(arguments[-1]))
    dense_model.fold_without_images(rebuilt)
    assert asked == [pytest.approx(TOLERANCE * (grows or largest / dense_model.USUAL_LOGIT))]


def test_a_model_too_large_for_one_file_is_refused_before_it_is_shrunk(rebuilt, finished, monkeypatch):
    """Beyond 2 GB protobuf writes nothing, and shrinking has to."""
    monkeypatch.setattr("recycle_pipeline.exporters.onnx.dense.LARGEST_FILE", 100)
    monkeypatch.setattr(dense_model, "shrunk_if_equal", lambda *_, **__: pytest.fail("it was shrunk"))
    folded, pixels = dense_model.fold_without_images(rebuilt), dense_model.random_pixels(rebuilt.subnetwork)
    with pytest.raises(RecycleError, match="one ONNX file holds 1e-07: expected a smaller network"):
        dense_model.dense(folded, rebuilt.subnetwork, finished.ticket, list, shrink_on=pixels)
