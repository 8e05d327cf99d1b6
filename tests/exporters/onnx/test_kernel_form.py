"""onnx-kernel under ONNX Runtime: the logits of onnx-int8 to the bit, in any batch, thread and session."""

import threading

import numpy as np
import onnx
import onnxruntime
import pytest

from recycle_pipeline.exporters.kernel import library_path
from recycle_pipeline.exporters.kernel.convert import with_kernels
from recycle_pipeline.exporters.kernel.place import TERNARY
from recycle_pipeline.exporters.onnx.int8 import quantized
from recycle_pipeline.models.errors import RecycleError

pytestmark = pytest.mark.usefixtures("kernels")
DAMAGED = "its packed network is damaged: it is no packed network; export it again"


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).standard_normal((32, 3, 16, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def int8(ternary_model, images):
    return quantized(ternary_model, [images])


@pytest.fixture(scope="module")
def kernel(int8):
    return with_kernels(int8)


def opened(model, register=True, threads=1):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 4
    if register:
        options.register_custom_ops_library(str(library_path()))
    providers = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=providers)


def logits(session, images):
    return session.run(["logits"], {"images": images})[0]


def copy_of(model):
    return onnx.ModelProto.FromString(model.SerializeToString())


def operator(model):
    [node] = [node for node in model.graph.node if node.op_type == TERNARY]
    return node


@pytest.mark.parametrize("batch", (1, 2, 16, 32))
def test_logits_are_those_of_onnx_int8_to_the_bit(int8, kernel, images, batch):
    assert np.array_equal(logits(opened(kernel), images[:batch]), logits(opened(int8), images[:batch]))


@pytest.mark.parametrize("threads", (2, 3))
def test_the_threads_of_a_session_make_the_same_logits(int8, kernel, images, threads):
    """Batches of which they make an image each, and some or all of the images together."""
    expected, session = logits(opened(int8), images), opened(kernel, threads=threads)
    for count in (1, 2, 3, 4, 7, 1, 32) * 4:
        assert np.array_equal(logits(session, images[:count]), expected[:count])


def test_one_operator_stands_for_every_convolution_and_no_dense_weight_is_left(int8, kernel):
    onnx.checker.check_model(kernel, full_check=True)
    left = {node.op_type for node in kernel.graph.node}
    assert not left & {"Conv", "Add", "Relu"}
    assert kernel.ByteSize() < 0.6 * int8.ByteSize()
    assert sum(len(item.raw_data) for item in kernel.graph.initializer) < 20_000
    said = {each.key: each.value for each in kernel.metadata_props}
    convs = [node for node in int8.graph.node if node.op_type == "Conv"]
    channels = int(said["kernel_channels_in_16_bits"]) + int(said["kernel_channels_in_parts"])
    assert len(convs) == 21 and channels == 16 * 7 + 32 * 7 + 64 * 7


@pytest.fixture(scope="module")
def linear_int8(images):
    """Convolutions, one with groups and dilations, and two linear layers with bias; weights are 0 and +-1."""
    rng = np.random.default_rng(2)

    def constant(name, *shape):
        drawn = rng.integers(-1, 2, shape) if name[0] == "w" else rng.standard_normal(shape)
        return onnx.numpy_helper.from_array(drawn.astype(np.float32), name)

    make = onnx.helper.make_node
    nodes = [
        make("Conv", ["images", "w1", "b1"], ["made"], pads=(1, 1, 1, 1), strides=(4, 4)),
        make("Conv", ["made", "w4"], ["grouped"], pads=(2, 4, 2, 4), dilations=(2, 4), group=4),
        make("Relu", ["grouped"], ["positive"]),
        make("Flatten", ["positive"], ["flat"]),
        make("Gemm", ["flat", "w2", "b2"], ["hidden"], transB=1),
        make("Relu", ["hidden"], ["hidden positive"]),
        make("Gemm", ["hidden positive", "w3", "b3"], ["logits"], transB=1),
    ]
    shapes = {
        "w1": (8, 3, 3, 3),
        "w2": (40, 8 * 16),
        "w3": (10, 40),
        "b1": (8,),
        "b2": (40,),
        "b3": (10,),
        "w4": (8, 2, 3, 3),
    }
    values = onnx.helper.make_tensor_value_info
    given = values("images", 1, ["batch", 3, 16, 16])
    constants = [constant(name, *shape) for name, shape in shapes.items()]
    graph = onnx.helper.make_graph(nodes, "net", [given], [values("logits", 1, ["batch", 10])], constants)
    opset = [onnx.helper.make_opsetid("", 17)]
    return quantized(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), [images])


def types(model):
    return [node.op_type for node in model.graph.node]


def test_linear_layers_are_in_the_operator(linear_int8, images):
    kernel = with_kernels(linear_int8)
    assert types(kernel) == ["QuantizeLinear", "TernaryNetwork", "Flatten", "DequantizeLinear"]
    onnx.checker.check_model(kernel, full_check=True)
    assert np.array_equal(logits(opened(kernel), images), logits(opened(linear_int8), images))


@pytest.mark.parametrize(("name", "value"), [("transB", 0), ("alpha", 0.5), ("beta", 2.0)])
def test_linear_layers_of_another_form_stay_with_onnxruntime(linear_int8, images, name, value):
    model = copy_of(linear_int8)
    last = [node for node in model.graph.node if node.op_type == "Gemm"][-1]
    for attribute in [each for each in last.attribute if each.name == name]:
        last.attribute.remove(attribute)
    last.attribute.append(onnx.helper.make_attribute(name, value))
    if name == "transB":
        weights = next(item for item in model.graph.initializer if item.name == "w3_quantized")
        turned = onnx.numpy_helper.to_array(weights).T
        weights.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(turned), "w3_quantized"))
        for node in model.graph.node:
            for attribute in node.attribute if "w3_quantized" in node.input else ():
                attribute.i = 1
    kernel = with_kernels(model)
    assert types(kernel).count("Gemm") == 1
    assert np.array_equal(logits(opened(kernel), images), logits(opened(model), images))


def test_sums_of_rows_stay_with_onnxruntime(linear_int8, images):
    """The last linear layer's row and itself again, in 8 bits: (N, 10), not (N, 10, 1, 1)."""
    model = copy_of(linear_int8)
    logits_of, graph = next(node for node in model.graph.node if node.output[0] == "logits"), model.graph
    scale, zero = logits_of.input[1:]
    made = [
        onnx.helper.make_node("DequantizeLinear", [logits_of.input[0], scale, zero], ["again"]),
        onnx.helper.make_node("Add", ["first", "again"], ["twice"]),
        onnx.helper.make_node("QuantizeLinear", ["twice", scale, zero], ["twice 8"]),
        onnx.helper.make_node("DequantizeLinear", ["twice 8", scale, zero], ["logits"]),
    ]
    logits_of.output[0] = "first"
    graph.node.extend(made)
    kernel = with_kernels(model)
    assert types(kernel)[-3:] == ["Add", "QuantizeLinear", "DequantizeLinear"]
    assert np.array_equal(logits(opened(kernel), images), logits(opened(model), images))


def test_what_others_read_after_it_was_laid_flat_stays(linear_int8, images):
    """The first linear layer's input leaves the graph besides: then the operator ends before it."""
    model = copy_of(linear_int8)
    [flat] = [node for node in model.graph.node if node.op_type == "Flatten"]
    model.graph.output.append(onnx.helper.make_tensor_value_info(flat.output[0], 1, ["batch", 128]))
    kernel = with_kernels(model)
    assert types(kernel).count("Gemm") == 2
    for name in ("logits", flat.output[0]):
        got, expected = (opened(each).run([name], {"images": images})[0] for each in (kernel, model))
        assert np.array_equal(got, expected)


def with_maps(model):
    """Behind each convolution before an addition, a constant image is added, as where filters are dead."""
    model, rng = copy_of(model), np.random.default_rng(1)
    known = onnx.shape_inference.infer_shapes(model, data_prop=True).graph.value_info
    shapes = {each.name: [axis.dim_value for axis in each.type.tensor_type.shape.dim[1:]] for each in known}
    convs = {node.output[0] for node in model.graph.node if node.op_type == "Conv"}
    nodes = list(model.graph.node)
    for place, node in reversed(list(enumerate(nodes))):
        own = [name for name in node.input if name in convs] if node.op_type == "Add" else []
        for name in own[: 1 + place % 2]:
            values = rng.standard_normal((1, *shapes[name])).astype(np.float32)
            model.graph.initializer.append(onnx.numpy_helper.from_array(values, f"map {name}"))
            operands = [name, f"map {name}"][:: 1 if place % 3 else -1]
            nodes.insert(place, onnx.helper.make_node("Add", operands, [f"mapped {name}"]))
            node.input[list(node.input).index(name)] = f"mapped {name}"
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def test_constant_images_that_dead_filters_leave_are_added_by_the_operator(ternary_model, images):
    int8 = quantized(with_maps(ternary_model), [images])
    kernel = with_kernels(int8)
    assert sum(node.op_type == "Add" for node in int8.graph.node) > 12
    assert not {node.op_type for node in kernel.graph.node} & {"Conv", "Add", "Relu"}
    assert np.array_equal(logits(opened(kernel), images), logits(opened(int8), images))


def test_sessions_and_threads_do_not_disturb_one_another(int8, kernel, images):
    expected, wrong = logits(opened(int8), images), []
    sessions = [opened(kernel, threads=1 + which) for which in range(3)]

    def work(which):
        for _ in range(5):
            if not np.array_equal(logits(sessions[which % 3], images), expected):
                wrong.append(which)

    threads = [threading.Thread(target=work, args=(which,)) for which in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_session_without_the_library_says_which_operator_it_lacks(kernel):
    with pytest.raises(Exception, match=r"recycle:TernaryNetwork\(-1\) is not a registered function/op"):
        opened(kernel, register=False)


def test_a_damaged_network_is_refused_when_the_session_is_opened(kernel):
    model = copy_of(kernel)
    operator(model).attribute[0].s = b"anything"
    with pytest.raises(Exception, match=DAMAGED):
        opened(model)
    operator(model).attribute[0].s = operator(kernel).attribute[0].s[:-4]
    with pytest.raises(Exception, match=r"recycle\.TernaryNetwork: its packed network is damaged: "):
        opened(model)
    del operator(model).attribute[:]
    with pytest.raises(Exception, match="network"):
        opened(model)


def test_images_of_another_size_are_refused_when_it_runs(kernel):
    model = copy_of(kernel)
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[2].dim_param, dims[3].dim_param = "height", "width"
    with pytest.raises(Exception, match=r"it takes \(N, 3, 16, 16\) and was given 4 dimensions, 3 x 16 x 8"):
        logits(opened(model), np.zeros((1, 3, 16, 8), np.float32))


def test_weights_of_many_magnitudes_are_refused(ternary_model, images):
    model = copy_of(ternary_model)
    rng = np.random.default_rng(0)
    for item in model.graph.initializer:
        if len(item.dims) == 4:
            item.raw_data = rng.standard_normal(tuple(item.dims)).astype(np.float32).tobytes()
    with pytest.raises(RecycleError, match="onnx-kernel: no convolution here has ternary weights"):
        with_kernels(quantized(model, [images]))


def test_many_calls_take_no_more_memory(kernel, images):
    session, peaks = opened(kernel), []
    for count in (50, 400):
        for _ in range(count):
            logits(session, images[:1])
        peaks.append(resident())
    assert peaks[1] - peaks[0] < 2_000_000


def resident():
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
