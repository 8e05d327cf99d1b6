"""The reference model: the same bytes everywhere, and a model that runs."""

import hashlib

import numpy as np

from recycle_pipeline.evaluators.session import open_session
from recycle_pipeline.exporters.onnx.reference import write_reference

# Stored baselines name it: another digest is another reference, and they would all be refused.
SHA256 = "9284a18d51cdd593d77a7d9caff1c30075f090afe34917eb79b3af34a0e9dae1"


def test_the_bytes_are_those_that_stored_baselines_name(tmp_path):
    write_reference(tmp_path / "reference.onnx")
    assert hashlib.sha256((tmp_path / "reference.onnx").read_bytes()).hexdigest() == SHA256


def test_it_takes_any_batch_and_gives_finite_logits(tmp_path):
    write_reference(tmp_path / "reference.onnx")
    model = open_session(tmp_path / "reference.onnx", "cpu", 1)
    images = np.random.default_rng(0).standard_normal((3, 3, 16, 16)).astype(np.float32)
    logits = model.predict(images)
    assert logits.shape == (3, 10)
    assert np.isfinite(logits).all() and logits.std() > 0
