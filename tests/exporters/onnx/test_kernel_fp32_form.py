"""onnx-kernel-fp32 under ONNX Runtime: the logits of onnx to rounding, of continuous and ternary weights."""

import numpy as np
import onnx
import onnxruntime
import pytest

from recycle_pipeline.exporters.kernel import library_path
from recycle_pipeline.exporters.kernel.convert import with_float_kernels, with_kernels
from recycle_pipeline.exporters.kernel.place import SPARSE
from recycle_pipeline.exporters.onnx.int8 import quantized
from recycle_pipeline.models.errors import RecycleError

pytestmark = pytest.mark.usefixtures("kernels")
make, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).standard_normal((32, 3, 16, 16)).astype(np.float32)


def opened(model, threads=1):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 4
    options.register_custom_ops_library(str(library_path()))
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def run(model, images, name="logits", threads=1):
    return opened(model, threads).run([name], {"images": images})[0]


def types(model):
    return [node.op_type for node in model.graph.node]


def operator(model):
    [node] = [node for node in model.graph.node if node.op_type == SPARSE]
    return node


def continuous(model):
    """The same network with a normal draw for each kept weight."""
    found, rng = onnx.ModelProto.FromString(model.SerializeToString()), np.random.default_rng(1)
    for item in found.graph.initializer:
        if len(item.dims) == 4:
            weights = onnx.numpy_helper.to_array(item)
            drawn = rng.standard_normal(weights.shape).astype(np.float32) * np.abs(weights).max()
            item.CopyFrom(onnx.numpy_helper.from_array(np.where(weights, drawn, 0), item.name))
    return found


@pytest.mark.parametrize("change", [lambda model: model, continuous], ids=["ternary", "continuous"])
def test_logits_are_those_of_onnx_to_rounding_in_any_batch_and_on_any_threads(ternary_model, images, change):
    model = change(ternary_model)
    kernel = with_float_kernels(model)
    onnx.checker.check_model(kernel, full_check=True)
    assert not set(types(kernel)) & {"Conv", "Add", "Relu"} and types(kernel).count(SPARSE) == 1
    expected = run(model, images)
    one = run(kernel, images)
    assert np.abs(one - expected).max() < 1e-5 * np.abs(expected).max()
    for batch, threads in ((1, 1), (7, 2), (32, 3)):
        assert np.array_equal(run(kernel, images[:batch], threads=threads), one[:batch])


def test_the_file_has_no_dense_weights(ternary_model):
    kernel, drawn = with_float_kernels(ternary_model), with_float_kernels(continuous(ternary_model))
    assert sum(len(item.raw_data) for item in kernel.graph.initializer) < 20_000
    kept = int({each.key: each.value for each in kernel.metadata_props}["kernel_weights"])
    assert 1 < len(operator(kernel).attribute[0].s) / kept < 2.5
    assert 5 < len(operator(drawn).attribute[0].s) / kept < 6.5


def net(nodes, weights, outputs=("logits",)):
    rng = np.random.default_rng(3)
    constants = [
        onnx.numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)
        for name, shape in weights.items()
    ]
    results = [value(name, 1, None) for name in outputs]
    graph = onnx.helper.make_graph(
        nodes, "net", [value("images", 1, ["batch", 3, 16, 16])], results, constants
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    return onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)


WEIGHTS = {"w1": (8, 3, 3, 3), "w2": (8, 8, 3, 3), "w3": (10, 8 * 64), "b1": (8,), "b3": (10,)}
WEIGHTS |= {"map": (1, 8, 16, 16), "grouped": (8, 4, 3, 3), "depthwise": (8, 1, 3, 3)}


def conv(source, weights, target, **more):
    return make("Conv", [source, *weights.split()], [target], pads=(1, 1, 1, 1), **more)


HEAD = [
    make("MaxPool", ["last"], ["pooled"], kernel_shape=(2, 2), strides=(2, 2)),
    make("Relu", ["pooled"], ["positive"]),
    make("Flatten", ["positive"], ["flat"]),
    make("Gemm", ["flat", "w3", "b3"], ["logits"], transB=1),
]


@pytest.mark.parametrize(
    "nodes",
    [
        [conv("images", "w1 b1", "a"), make("Relu", ["a"], ["b"]), conv("b", "w2", "last")],
        [conv("images", "w1 b1", "a"), conv("a", "w2", "b"), make("Add", ["b", "a"], ["last"])],
        [conv("images", "w1", "a"), conv("a", "w2", "b"), make("Add", ["a", "b"], ["c"]),
         make("Relu", ["c"], ["last"])],
        [conv("images", "w1", "a"), make("Add", ["map", "a"], ["b"]), conv("b", "w2", "last")],
        [conv("images", "w1", "a"), make("Relu", ["a"], ["b"]), make("Add", ["b", "map"], ["last"])],
        [conv("images", "w1", "x"), make("Relu", ["x"], ["a"]), make("Add", ["map", "a"], ["b"]),
         conv("b", "w2", "last")],
        [conv("images", "w1", "a"), conv("a", "grouped", "last", group=2)],
        [conv("images", "w1", "a"), conv("a", "depthwise", "last", group=8)],
        [conv("images", "w1", "a"), make("Conv", ["a", "w2"], ["last"], dilations=(2, 3), pads=(2, 3, 2, 3))],
        [conv("images", "w1", "x"), make("Relu", ["x"], ["a"]), conv("a", "w2", "y"),
         make("Relu", ["y"], ["b"]), make("Add", ["a", "b"], ["last"])],
    ],
    ids=["plain", "shortcut", "and relu", "map", "map last", "map first", "groups", "deep", "holes", "sum"],
)  # fmt: skip
def test_everything_around_convolutions_is_in_the_operator(nodes, images):
    model = net([*nodes, *HEAD], WEIGHTS)
    kernel = with_float_kernels(model)
    assert types(kernel) == [SPARSE, "Flatten"]
    expected = run(model, images)
    assert np.abs(run(kernel, images) - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("node", "more"),
    [
        (make("Sigmoid", ["a"], ["last"]), {}),
        (make("MaxPool", ["a"], ["last"], kernel_shape=(2, 2), dilations=(2, 2), pads=(1, 1, 1, 1)), {}),
        (make("MaxPool", ["a"], ["last"], kernel_shape=(1, 1), ceil_mode=1), {}),
        (make("Conv", ["a", "w2"], ["last"], auto_pad="SAME_UPPER"), {}),
        (
            make("Conv", ["a", "long"], ["last"], dilations=(16, 16), pads=(16, 16, 16, 16)),
            {"long": (8, 8, 3, 3)},
        ),
        (make("Mul", ["a", "map"], ["last"]), {}),
        (make("AveragePool", ["a"], ["last"], kernel_shape=(1, 1)), {}),
    ],
    ids=["sigmoid", "holes in pooling", "ceil", "auto_pad", "a large window", "product", "mean"],
)
def test_the_operator_ends_before_what_it_does_not_know(node, more, images):
    model = net([conv("images", "w1 b1", "a"), node, *HEAD], WEIGHTS | more)
    kernel = with_float_kernels(model)
    assert types(kernel)[:2] == [SPARSE, node.op_type] and types(kernel)[-1] == "Gemm"
    expected = run(model, images)
    assert np.abs(run(kernel, images) - expected).max() < 1e-5 * np.abs(expected).max()


ROWS = {"w3": (10, 8 * 256), "w5": (10, 10), "w6": (10, 10), "b3": (10,), "one": (1, 10, 1, 1)}
TAIL = [
    conv("images", "w1", "a"),
    make("Flatten", ["a"], ["flat"]),
    make("Gemm", ["flat", "w3", "b3"], ["g"], transB=1),
    make("Gemm", ["g", "w5"], ["h"], transB=1),
]


@pytest.mark.parametrize(
    ("nodes", "left"),
    [
        ([make("Add", ["g", "h"], ["logits"])], ["Gemm", "Add"]),
        ([make("Relu", ["h"], ["r"]), make("Add", ["r", "g"], ["logits"])], ["Gemm", "Relu", "Add"]),
        ([make("Add", ["one", "h"], ["logits"])], ["Add"]),
    ],
    ids=["rows", "rows after relu", "a row and an image"],
)
def test_sums_of_rows_stay_with_onnxruntime(nodes, left, images):
    model = net([*TAIL, *nodes], WEIGHTS | ROWS)
    kernel = with_float_kernels(model)
    assert [name for name in types(kernel) if name not in (SPARSE, "Flatten")] == left
    expected = run(model, images)
    assert run(kernel, images).shape == expected.shape
    assert np.abs(run(kernel, images) - expected).max() < 1e-5 * np.abs(expected).max()


def test_a_layer_that_is_too_large_for_the_kernels_stays_with_onnxruntime(images):
    nodes = [*TAIL[:2], make("Gemm", ["flat", "wide"], ["logits"], transB=1)]
    model = net(nodes, {"w1": (8, 3, 3, 3), "wide": (17_000, 8 * 256)})
    kernel = with_float_kernels(model)
    assert types(kernel) == [SPARSE, "Flatten", "Gemm"]
    assert np.allclose(run(kernel, images[:2]), run(model, images[:2]), rtol=1e-4, atol=1e-3)


def test_preprocessing_inside_the_model_stays_before_the_operator(images):
    nodes = [
        make("Sub", ["images", "b1"], ["s"]),
        make("Div", ["s", "b1"], ["d"]),
        conv("d", "w1", "last"),
        *HEAD,
    ]
    model = net(nodes, WEIGHTS | {"b1": (1, 3, 1, 1)})
    kernel = with_float_kernels(model)
    assert types(kernel) == ["Sub", "Div", SPARSE, "Flatten"]
    expected = run(model, images)
    assert np.abs(run(kernel, images) - expected).max() < 1e-5 * np.abs(expected).max()


def test_tensors_that_leave_the_graph_besides_end_it_there(images):
    nodes = [conv("images", "w1", "a"), conv("a", "w2", "last"), *HEAD]
    model = net(nodes, WEIGHTS, ("logits", "a"))
    kernel = with_float_kernels(model)
    assert types(kernel)[:2] == [SPARSE, "Conv"]
    for name in ("logits", "a"):
        expected = run(model, images, name)
        assert np.abs(run(kernel, images, name) - expected).max() < 1e-5 * np.abs(expected).max()


def test_a_network_that_begins_otherwise_is_refused():
    model = net([make("Sigmoid", ["images"], ["a"]), conv("a", "w1", "last"), *HEAD], WEIGHTS)
    with pytest.raises(RecycleError, match="onnx-kernel-fp32: the network does not begin with convolutions"):
        with_float_kernels(model)


def test_a_network_of_8_bits_in_its_operator_is_refused_and_the_other_way(ternary_model, images):
    floats = with_float_kernels(ternary_model)
    int8 = with_kernels(quantized(ternary_model, [images]))
    [other] = [node for node in int8.graph.node if node.domain == "recycle"]
    mine = operator(floats)
    other.attribute[0].s, mine.attribute[0].s = mine.attribute[0].s, other.attribute[0].s
    for model, name, size in ((floats, "SparseNetwork", 1), (int8, "TernaryNetwork", 4)):
        damaged = rf"recycle\.{name}: its packed network is damaged: its numbers take {size} bytes"
        with pytest.raises(Exception, match=damaged):
            opened(model)
    with pytest.raises(Exception, match=r"it takes \(N, 3, 16, 16\) and was given 4 dimensions"):
        model = with_float_kernels(ternary_model)
        dims = model.graph.input[0].type.tensor_type.shape.dim
        dims[2].dim_param, dims[3].dim_param = "height", "width"
        run(model, np.zeros((1, 3, 16, 8), np.float32))
