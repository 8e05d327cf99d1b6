"""ReLU goes before max pooling, where nothing else takes what was pooled; the logits stay to the bit."""

import numpy as np
import onnx
import onnxruntime
import pytest

from recycle_pipeline.exporters.onnx.relu_first import relu_first


def model_of(*nodes, outputs=("logits",)):
    value = onnx.helper.make_tensor_value_info
    given = value("images", 1, ["batch", 2, 8, 8])
    results = [value(name, 1, [None] * 4) for name in outputs]
    graph = onnx.helper.make_graph(list(nodes), "net", [given], results)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


def pool(source, result):
    return onnx.helper.make_node("MaxPool", [source], [result], kernel_shape=(2, 2), strides=(2, 2))


def relu(source, result):
    return onnx.helper.make_node("Relu", [source], [result])


def run(model, images):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"images": images})


def types(model):
    return [node.op_type for node in model.graph.node]


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).standard_normal((3, 2, 8, 8)).astype(np.float32)


def test_every_relu_that_follows_pooling_goes_before_it(images):
    model = model_of(pool("images", "a"), relu("a", "b"), pool("b", "c"), relu("c", "logits"))
    before = model.SerializeToString()
    found = relu_first(model)
    onnx.checker.check_model(found, full_check=True)
    assert types(found) == ["Relu", "MaxPool", "MaxPool"], "the second one changes nothing any more"
    assert [value.name for value in found.graph.output] == ["logits"]
    assert all(map(np.array_equal, run(model, images), run(found, images)))
    assert model.SerializeToString() == before


@pytest.mark.parametrize("taken", ["images_positive", "other"])
def test_two_poolings_of_one_tensor_share_a_relu_whose_name_is_free(images, taken):
    """As in spatial pyramids; the name that would be given may be there already."""
    nodes = [
        relu("images", taken),
        pool(taken, "c"),
        pool("images", "a"),
        relu("a", "p"),
        pool("images", "b"),
    ]
    nodes += [relu("b", "q"), onnx.helper.make_node("Sum", ["c", "p", "q"], ["logits"])]
    model = model_of(*nodes)
    found = relu_first(model)
    onnx.checker.check_model(found, full_check=True)
    assert types(found).count("Relu") == (1 if taken == "images_positive" else 2)
    assert all(map(np.array_equal, run(model, images), run(found, images)))


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        (
            (pool("images", "a"), relu("a", "b"), onnx.helper.make_node("Add", ["a", "b"], ["logits"])),
            ("logits",),
        ),
        ((pool("images", "a"), relu("a", "logits")), ("logits", "a")),
        ((relu("images", "a"), pool("a", "logits")), ("logits",)),
    ],
    ids=["added", "leaves the graph", "is first already"],
)
def test_what_others_take_stays(images, nodes, outputs):
    model = model_of(*nodes, outputs=outputs)
    found = relu_first(model)
    assert types(found) == types(model)
    assert all(map(np.array_equal, run(model, images), run(found, images)))
