"""What a gate can judge, from the command to the exit code: each quantity misses its limit, and keeps it."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from recycle_pipeline.evaluators import blocks as module

BULK = 16 << 20  # bytes that are loaded, and of which a call reads four
LIMITS = {
    **{"--max-slowdown": "2000%", "--max-load-increase": "100%"},
    **{"--max-size-increase": "10%", "--max-memory-increase": "100%"},
}
QUICK = "--time-budget", "0.01", "--on-inconclusive", "pass", "--quiet"


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_S", 0.001)
    monkeypatch.setattr(module, "WARM_UP_S", 0.01)


@pytest.fixture
def write_model(here):
    """A linear model of digits; `bulk` bytes make file, loading and memory larger, and calls no longer."""

    def write(name, weights, bulk=4):
        nodes = [
            helper.make_node("Flatten", ["x"], ["flat"]),
            helper.make_node("MatMul", ["flat", "w"], ["product"]),
            helper.make_node("Gather", ["bulk", "first"], ["nothing"]),
            helper.make_node("Add", ["product", "nothing"], ["y"]),
        ]
        constants = {"w": weights, "bulk": np.zeros(bulk // 4, np.float32), "first": np.array([0], np.int64)}
        graph = helper.make_graph(
            nodes,
            "graph",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 8, 8])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 10])],
            [numpy_helper.from_array(array, key) for key, array in constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
        onnx.save(model, here / name)
        return name

    return write


@pytest.fixture
def weights():
    """(64, 10) of a nearest-mean classifier of digits, far better than chance."""
    from sklearn.datasets import load_digits

    found = load_digits()
    means = np.stack([found.data[found.target == digit].mean(axis=0) for digit in range(10)])
    return (means / np.linalg.norm(means, axis=1, keepdims=True)).T.astype(np.float32)


def outcomes(done):
    lines = [line.split() for line in done.out.splitlines() if line.startswith(("max_", "min_"))]
    return {name: outcome.removesuffix(":") for name, outcome, *_ in lines}


def test_a_model_that_is_larger_to_keep_to_load_and_to_hold_misses_those_three_and_no_other(
    command, write_model, weights
):
    small, bulky = write_model("small.onnx", weights), write_model("bulky.onnx", weights, BULK)
    limits = [word for pair in LIMITS.items() for word in pair]
    done = command("gate", "--baseline", small, "--candidate", bulky, *limits, "--quiet")
    assert outcomes(done) == {
        "max_slowdown": "passed",
        "max_load_increase": "failed",
        "max_size_increase": "failed",
        "max_memory_increase": "failed",
    }
    assert (done.code, done.out.split()[0]) == (5, "REGRESSION")


def test_a_model_beside_itself_keeps_all_four(command, write_model, weights):
    small = write_model("small.onnx", weights)
    limits = [word for pair in (LIMITS | {"--max-load-increase": "100000%"}).items() for word in pair]
    done = command("gate", "--baseline", small, "--candidate", small, *limits, "--quiet")
    assert outcomes(done) == dict.fromkeys(
        ("max_slowdown", "max_load_increase", "max_size_increase", "max_memory_increase"), "passed"
    )
    assert (done.code, done.out.split()[0]) == (0, "PASS")


def test_a_larger_file_alone_leaves_with_5(command, write_model, weights):
    small, bulky = write_model("small.onnx", weights), write_model("bulky.onnx", weights, BULK)
    for candidate, code in ((bulky, 5), (small, 0)):
        line = "--baseline", small, "--candidate", candidate, "--max-size-increase", "10%", *QUICK
        assert command("gate", *line).code == code


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--max-accuracy-drop", "1%"), 4),
        (("--min-top1", "50%"), 4),
        (("--max-difference", "0.001"), 3),
        (("--max-difference", "0.001", "--min-top1", "50%", "--max-size-increase", "0"), 3),
    ],
)
def test_accuracy_and_logits_are_judged_on_real_images(command, write_model, weights, options, code):
    good, bad = write_model("good.onnx", weights), write_model("bad.onnx", weights[::-1].copy())
    for candidate, wanted in ((bad, code), (good, 0)):
        line = "--baseline", good, "--candidate", candidate, "--data", "digits", *options, *QUICK
        done = command("gate", *line)
        assert done.code == wanted, done.out
        assert "n = 364 images" in done.out or "--max-difference" in options


def test_a_stored_baseline_carries_size_load_and_memory_too(command, write_model, weights):
    small, bulky = write_model("small.onnx", weights), write_model("bulky.onnx", weights, BULK)
    saved = command("gate", "--candidate", small, "--save", "b.json", "--time-budget", "4", "--quiet")
    assert saved.code == 0
    limits = [word for pair in LIMITS.items() for word in pair if "load" not in pair[0]]
    done = command("gate", "--baseline", "b.json", "--candidate", bulky, *limits, *QUICK)
    found = outcomes(done)
    assert (found["max_size_increase"], found["max_memory_increase"]) == ("failed", "failed")
    assert done.code == 5 and "note                 the baseline is stored" in done.out
