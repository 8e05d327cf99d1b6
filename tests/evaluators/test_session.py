"""Opening ONNX files: the provider asked for or a refusal, and what a session tells about its model."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from recycle_pipeline.evaluators import providers as providers_module
from recycle_pipeline.evaluators import session as session_module
from recycle_pipeline.evaluators.provider_names import PROVIDERS
from recycle_pipeline.evaluators.providers import PROBE, brief, why_not
from recycle_pipeline.evaluators.session import SHAPE_OPS, best_provider, open_session
from recycle_pipeline.models.errors import CorruptArtefact, ProviderUnavailable, RecycleError, UsageFault

FLOAT = TensorProto.FLOAT
needs_cuda = pytest.mark.skipif(why_not("cuda") is not None, reason="needs a CUDA device")
needs_no_cuda = pytest.mark.skipif(why_not("cuda") is None, reason="needs a machine without CUDA")


def test_a_session_describes_its_model(write_linear, weights):
    path = write_linear(weights, metadata={"arch": "linear", "opset": "17"})
    model = open_session(path, "cpu", threads=1)
    assert (model.path, model.provider, model.threads) == (path, "cpu", 1)
    assert (model.input_name, model.input_shape, model.output_name) == ("images", [None, 3, 4, 4], "logits")
    assert model.input_dtype == np.dtype(np.float32)
    assert model.metadata == {"arch": "linear", "opset": "17"}


@pytest.mark.parametrize("opset", [17, 18, 19, 20])
def test_predict_computes_the_graph(write_linear, weights, images, opset):
    logits = open_session(str(write_linear(weights, opset=opset)), "cpu").predict(images)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, images.reshape(20, 48) @ weights, rtol=1e-5, atol=1e-5)


def test_predict_takes_images_that_are_not_contiguous(write_linear, weights, images):
    model = open_session(write_linear(weights), "cpu")
    np.testing.assert_array_equal(model.predict(images[::2]), model.predict(images[::2].copy()))


def test_a_model_may_take_uint8(write_linear, weights):
    model = open_session(write_linear(weights, dtype=TensorProto.UINT8), "cpu")
    raw = np.arange(96, dtype=np.uint8).reshape(2, 3, 4, 4)
    assert model.input_dtype == np.dtype(np.uint8)
    np.testing.assert_allclose(model.predict(raw), raw.reshape(2, 48).astype(np.float32) @ weights, rtol=1e-4)


def test_threads_default_to_the_cores_this_process_may_use(write_linear, weights):
    model = open_session(write_linear(weights), "cpu")
    options = model.session.get_session_options()
    assert model.threads >= 1
    assert options.intra_op_num_threads == model.threads
    assert options.inter_op_num_threads == 1


def test_idle_sessions_do_not_spin_beside_others(write_linear, weights):
    options = open_session(write_linear(weights), "cpu").session.get_session_options()
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"


@pytest.mark.parametrize(
    ("shape", "dtype", "said"),
    [
        ((2, 3, 4, 5), np.float32, r"shape \(2, 3, 4, 5\).*takes float32 of shape \(any, 3, 4, 4\)"),
        ((3, 4, 4), np.float32, r"shape \(3, 4, 4\)"),
        ((2, 3, 4, 4), np.float64, r"float64 images.*takes float32"),
        ((2, 3, 4, 4), np.uint8, r"uint8 images.*Convert the images"),
    ],
)
def test_images_that_the_input_does_not_take_are_refused(write_linear, weights, shape, dtype, said):
    model = open_session(write_linear(weights), "cpu")
    with pytest.raises(UsageFault, match=said):
        model.predict(np.zeros(shape, dtype))


def test_a_fixed_batch_is_part_of_the_input_shape(write_linear, weights):
    model = open_session(write_linear(weights, batch=2), "cpu")
    assert model.input_shape == [2, 3, 4, 4]
    with pytest.raises(UsageFault, match=r"takes float32 of shape \(2, 3, 4, 4\)"):
        model.predict(np.zeros((3, 3, 4, 4), np.float32))


def test_a_failure_while_running_names_the_model_and_the_input(write_graph, capfd):
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    shape = np.array([7, -1], np.int64)
    path = write_graph(nodes, [("x", FLOAT, ["n", 3])], [("y", FLOAT, [7, None])], {"shape": shape})
    model = open_session(path, "cpu")
    with pytest.raises(RecycleError, match=r"failed while running .*model\.onnx on cpu, input \(2, 3\)"):
        model.predict(np.zeros((2, 3), np.float32))
    assert capfd.readouterr() == ("", "")


def test_a_missing_file_is_a_usage_fault(tmp_path):
    with pytest.raises(UsageFault, match=r"absent\.onnx is no file\. Give the path"):
        open_session(tmp_path / "absent.onnx", "cpu")
    with pytest.raises(UsageFault, match="is no file"):
        open_session(tmp_path, "cpu")


def _external(path: Path) -> None:
    """Point a weight at a file that does not exist."""
    model = onnx.load(path)
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="absent.bin")
    path.write_bytes(model.SerializeToString())


def _unknown_operator(path: Path) -> None:
    model = onnx.load(path)
    model.graph.node[0].op_type = "Frobnicate"
    path.write_bytes(model.SerializeToString())


HOSTILE = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_bytes(b"<html>404 Not Found</html>"),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "without its external data": _external,
    "with an unknown operator": _unknown_operator,
}


@pytest.mark.parametrize("damage", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_file_that_cannot_be_read_is_a_corrupt_artefact(write_linear, weights, capfd, damage):
    path = write_linear(weights)
    damage(path)
    with pytest.raises(CorruptArtefact, match=r"cannot read .*model\.onnx: .*Export it again"):
        open_session(path, "cpu")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("newer", [{"ir_version": 99}, {"opset": 99}], ids=["ir", "opset"])
def test_a_file_newer_than_the_runtime_is_no_corruption(write_linear, weights, newer):
    path = write_linear(weights, **newer)
    with pytest.raises(UsageFault, match=rf"ONNX Runtime {ort.__version__} is too old for .*older opset"):
        open_session(path, "cpu")


def test_a_path_that_speaks_of_opsets_does_not_excuse_a_damaged_file(tmp_path):
    path = tmp_path / "opset of IR version.onnx"
    path.write_bytes(b"damaged")
    with pytest.raises(CorruptArtefact):
        open_session(path, "cpu")


MEMORY = (
    "Load model from {} failed:std::bad_alloc",
    "Exception during initialization: std::bad_alloc",
    "Failed to allocate memory for requested buffer of size 9437184",
    "CUDA failure 2: out of memory ; GPU=0",
)


@pytest.mark.parametrize("said", MEMORY)
def test_memory_that_ran_out_while_a_file_was_opened_is_no_corruption(
    write_linear, weights, monkeypatch, said
):
    """The first three as ONNX Runtime 1.31.1 says them of a ResNet-18 in a process of limited memory."""
    path = write_linear(weights)

    def full(*arguments, **options):
        raise RuntimeError(said.format(path))

    monkeypatch.setattr(session_module, "new_session", full)
    with pytest.raises(
        RecycleError, match=r"^memory ran out while ONNX Runtime opened .*model\.onnx: "
    ) as caught:
        open_session(path, "cpu")
    assert not isinstance(caught.value, CorruptArtefact)


def test_a_path_that_speaks_of_memory_does_not_excuse_a_damaged_file(tmp_path):
    path = tmp_path / "allocated out of memory.onnx"
    path.write_bytes(b"damaged")
    with pytest.raises(CorruptArtefact):
        open_session(path, "cpu")


def test_several_inputs_or_outputs_are_refused_by_name(write_graph):
    nodes = [helper.make_node("Add", ["a", "b"], ["c"]), helper.make_node("Sub", ["a", "b"], ["d"])]
    value = (FLOAT, ["n", 3])
    path = write_graph(nodes, [("a", *value), ("b", *value)], [("c", *value), ("d", *value)])
    with pytest.raises(
        UsageFault, match=r"inputs \['a', 'b'\] and outputs \['c', 'd'\]; a classifier with one"
    ):
        open_session(path, "cpu")


def test_an_input_that_is_no_array_of_numbers_is_refused(write_graph):
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    path = write_graph(nodes, [("x", TensorProto.STRING, ["n"])], [("y", TensorProto.STRING, ["n"])])
    with pytest.raises(UsageFault, match=r"input 'x' is a tensor\(string\); expected one of tensor\(float\)"):
        open_session(path, "cpu")


def test_an_unknown_provider_or_thread_count_is_refused(write_linear, weights):
    path = write_linear(weights)
    with pytest.raises(UsageFault, match=r"unknown provider 'tpu'; expected one of cpu, cuda"):
        open_session(path, "tpu")
    with pytest.raises(UsageFault, match="unknown provider 'auto'"):
        open_session(path, "auto")
    with pytest.raises(UsageFault, match="threads: 0 given, 1 or more expected"):
        open_session(path, "cpu", threads=0)


def test_best_provider_returns_what_was_named_and_refuses_the_unknown():
    assert best_provider("cpu") == ("cpu", None)
    assert best_provider("cuda") == ("cuda", None)
    with pytest.raises(UsageFault, match=r"unknown provider 'gpu'; expected one of auto, cpu, cuda"):
        best_provider("gpu")


def test_the_probe_is_a_valid_model_with_one_convolution():
    probe = onnx.load_from_string(PROBE)
    onnx.checker.check_model(probe, full_check=True)
    assert [node.op_type for node in probe.graph.node] == ["Conv"]
    assert why_not("cpu") is None


def test_cuda_is_asked_for_fp32_without_tf32():
    assert PROVIDERS["cuda"].options["use_tf32"] == "0"


def test_a_long_error_is_cut_and_loses_its_signatures():
    error = RuntimeError("void f(int) [with T = int] CUDA failure 35: driver too old ; GPU=-1 ; file=x.cc")
    assert brief(error) == "CUDA failure 35: driver too old"
    assert len(brief(RuntimeError("x" * 1000))) < 320


def test_placement_of_the_nodes_is_read_from_the_session(write_linear, weights):
    options = ort.SessionOptions()
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    path = str(write_linear(weights))
    recorded = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    strays = session_module._on_cpu(recorded)
    assert strays is not None and "MatMul" in strays
    assert "MatMul" not in SHAPE_OPS


@needs_no_cuda
def test_cuda_without_a_device_is_refused_and_never_replaced(write_linear, weights, capfd):
    why_not.cache_clear()
    with pytest.raises(ProviderUnavailable) as caught:
        open_session(write_linear(weights), "cuda")
    message = str(caught.value)
    assert caught.value.exit_code == 8
    assert message.startswith("provider 'cuda' was asked for, but it cannot run here: ")
    assert "Usable here: cpu." in message
    assert "pip install 'onnxruntime-gpu[cuda,cudnn]'" in message
    assert "ask for the provider 'cpu'" in message
    assert capfd.readouterr() == ("", ""), "our message says it; ONNX Runtime's log would say it again"


@needs_no_cuda
def test_auto_without_a_device_is_the_cpu_with_the_reason():
    provider, reason = best_provider("auto")
    assert provider == "cpu"
    assert reason is not None and reason.startswith("CUDA cannot run here: ")


@needs_no_cuda
def test_the_log_level_of_onnx_runtime_is_restored_where_a_session_was_refused(capfd):
    why_not.cache_clear()
    why_not("cuda")
    ort.InferenceSession(PROBE, providers=["CUDAExecutionProvider"])  # falls back, and warns of it
    assert "Failed to create CUDAExecutionProvider" in capfd.readouterr().err


@needs_cuda
def test_after_a_session_under_cuda_the_default_logger_stays_silent_beside_a_cpus_too(write_linear, weights):
    path = write_linear(weights)
    open_session(path, "cuda"), open_session(path, "cpu")
    assert providers_module._severity == providers_module.FATAL


@needs_cuda
def test_cuda_agrees_with_the_cpu(write_linear, weights, images):
    path = write_linear(weights)
    on_cuda, on_cpu = open_session(path, "cuda"), open_session(path, "cpu")
    assert on_cuda.session.get_providers()[0] == "CUDAExecutionProvider"
    np.testing.assert_allclose(on_cuda.predict(images), on_cpu.predict(images), atol=1e-5)
    assert best_provider("auto") == ("cuda", None)


@needs_cuda
def test_shape_arithmetic_on_the_cpu_is_no_fallback(write_graph):
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Shape", ["r"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Concat", ["n", "rest"], ["to"], axis=0),
        helper.make_node("Reshape", ["r", "to"], ["y"]),
    ]
    constants = {"zero": np.array([0], np.int64), "rest": np.array([-1], np.int64)}
    path = write_graph(nodes, [("x", FLOAT, ["n", 3, 4])], [("y", FLOAT, ["n", None])], constants)
    assert open_session(path, "cuda").predict(np.ones((2, 3, 4), np.float32)).shape == (2, 12)


@needs_cuda
def test_an_operator_without_a_cuda_kernel_is_refused_by_name(write_graph):
    nodes = [helper.make_node("Det", ["x"], ["y"])]
    path = write_graph(nodes, [("x", FLOAT, ["n", 3, 3])], [("y", FLOAT, ["n"])])
    with pytest.raises(ProviderUnavailable, match="would run on the CPU: Det"):
        open_session(path, "cuda")
