"""Models of the compiled kernels are told from others, and opened with the library or not at all."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from recycle_pipeline.evaluators.custom_operators import needs_kernels
from recycle_pipeline.evaluators.session import open_session
from recycle_pipeline.exporters.kernel.packed import Conv, Image, Window, packed
from recycle_pipeline.exporters.kernel.place import TERNARY
from recycle_pipeline.models.errors import CorruptArtefact, PackageMissing
from recycle_pipeline.models.kernel_library import DOMAIN, VARIABLE


def model(content=None, domain=DOMAIN):
    """Takes uint8 (N, 1, 4, 4) images and gives them by one operator."""
    name = TERNARY if content is not None else "Identity"
    given = {"network": content} if content is not None else {}
    node = helper.make_node(name, ["images"], ["logits"], domain=domain if given else "", **given)
    value = [
        helper.make_tensor_value_info(n, TensorProto.UINT8, ["n", 1, 4, 4]) for n in ("images", "logits")
    ]
    graph = helper.make_graph([node], "g", value[:1], value[1:])
    sets = [helper.make_opsetid("", 20), helper.make_opsetid(domain, 1)][: 2 if given else 1]
    return helper.make_model(graph, opset_imports=sets, ir_version=10)


def network():
    ones = np.ones(1, np.int32)
    window = Window((1, 1), (1, 1), (0, 0, 0, 0))
    conv = Conv(0, 1, window, np.ones((1, 1, 1, 1), np.int8), ones, 0 * ones, ones.astype(np.float32))
    return packed([Image(1, 4, 4, 0)] * 2, [conv], 0, 1)


def test_the_domain_is_found_in_a_file_and_in_its_content(tmp_path):
    for content, domain, expected in ((b"x", DOMAIN, True), (b"x", "recycled", False), (None, "", False)):
        made = model(content, domain)
        onnx.save(made, tmp_path / "model.onnx")
        assert needs_kernels(str(tmp_path / "model.onnx")) is expected
        assert needs_kernels(made.SerializeToString()) is expected


@pytest.mark.parametrize(
    "content", (b"", b"\x80" * 20, b"\x42", b"\x07", b"\x42\xff\x01", b"no model at all")
)
def test_what_is_no_model_needs_none(content, tmp_path):
    assert not needs_kernels(content)
    assert not needs_kernels(str(tmp_path / "missing.onnx"))


def test_a_model_of_the_kernels_is_opened_with_their_library(kernels, tmp_path):
    onnx.save(model(network()), tmp_path / "model.onnx")
    images = np.arange(32, dtype=np.uint8).reshape(2, 1, 4, 4)
    assert np.array_equal(open_session(tmp_path / "model.onnx", "cpu", 1).predict(images), images)


def test_a_damaged_one_is_a_corrupt_file(kernels, tmp_path):
    onnx.save(model(network()[:-4]), tmp_path / "model.onnx")
    with pytest.raises(CorruptArtefact, match=r"its packed network is damaged: .*; export it again"):
        open_session(tmp_path / "model.onnx", "cpu", 1)


def test_without_the_library_the_error_says_how_to_get_it(monkeypatch, tmp_path):
    onnx.save(model(network()), tmp_path / "model.onnx")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "none.so"))
    with pytest.raises(PackageMissing, match=r"not compiled here.*or use onnx-int8"):
        open_session(tmp_path / "model.onnx", "cpu", 1)
    onnx.save(model(), tmp_path / "other.onnx")
    open_session(tmp_path / "other.onnx", "cpu", 1)
