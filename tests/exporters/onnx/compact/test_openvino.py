"""Packed models under OpenVINO, where it is installed: `pip install openvino`."""

import numpy as np
import pytest

from recycle_pipeline.exporters.onnx.compact.convert import compact
from recycle_pipeline.exporters.onnx.compact.packings import ENTRY_PRICE

openvino = pytest.importorskip("openvino", reason="needs OpenVINO, which the tests' install leaves out")
SETTINGS = {"INFERENCE_PRECISION_HINT": "f32", "EXECUTION_MODE_HINT": "ACCURACY"}


@pytest.mark.parametrize("kind", ["one level", "a level each", "values"])
@pytest.mark.parametrize("density", [0.01, 0.05, 0.1, 0.3, 0.6])
@pytest.mark.parametrize("price", [0.0, ENTRY_PRICE, 10.0])
def test_a_packed_model_computes_what_the_plain_one_does(made, density, kind, price):
    model = made.model(*(made.weight((64, 40, 3, 3), density, kind, seed) for seed in range(2)))
    core, images = openvino.Core(), made.images(model)
    before = core.compile_model(core.read_model(model.SerializeToString()), "CPU", SETTINGS)(images)
    assert {packed.way for packed in compact(model, entry_price=price)} != {"plain"}
    after = core.compile_model(core.read_model(model.SerializeToString()), "CPU", SETTINGS)(images)
    for one, other in zip(before.values(), after.values(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * np.abs(one).max())
