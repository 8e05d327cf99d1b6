"""Blocks of real models in real processes. Times are not judged, only whose they are."""

import json

import numpy as np
import pytest

from recycle_pipeline.evaluators import blocks as module
from recycle_pipeline.evaluators.blocks import Blocks, twice
from recycle_pipeline.evaluators.setting import Setting
from recycle_pipeline.evaluators.workers import Worker, crashing
from recycle_pipeline.models.errors import CorruptArtefact, RecycleError, UsageFault


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_S", 0.001)
    monkeypatch.setattr(module, "WARM_UP_S", 0.01)


@pytest.mark.parametrize("isolation", ["block", "session"])
def test_times_belong_to_their_model(write_linear, isolation):
    """A model of 10,000 times the work is told from a small one by any clock."""
    small = write_linear(np.ones((48, 10)), name="small.onnx")
    large = write_linear(np.ones((48, 100_000)), name="large.onnx")
    for seed in range(3):  # another order of creation each
        block = Blocks(twice(small, large), Setting(), np.random.default_rng(seed), isolation).measure()
        assert block.ns.shape == (4, module.FEWEST_ROUNDS)
        assert sorted(block.created) == [0, 1, 2, 3]
        assert block.medians[:2].max() * 3 < block.medians[2:].min()
        assert (block.load_s > 0).all()


def test_orders_are_those_of_the_generator(write_linear, weights):
    path = write_linear(weights)
    created = {
        Blocks([path] * 4, Setting(), np.random.default_rng(seed)).measure().created for seed in range(4)
    }
    assert len(created) > 1


def test_any_number_of_models_makes_a_block(write_linear, weights):
    path = write_linear(weights)
    assert Blocks([path], Setting(), np.random.default_rng(0)).measure().ns.shape[0] == 1


def test_a_batch_that_the_model_does_not_take_is_refused_as_the_process_met_it(write_linear, weights):
    path = write_linear(weights, batch=1)
    with Worker() as worker, pytest.raises(UsageFault, match="a batch of 8 was asked for"):
        worker.open(path, Setting(batch=8))


def test_a_file_that_is_no_model_is_refused_and_the_process_lives_on(write_linear, weights, tmp_path):
    (tmp_path / "text.onnx").write_text("no model")
    with Worker() as worker:
        with pytest.raises(CorruptArtefact, match="cannot read"):
            worker.open(tmp_path / "text.onnx", Setting())
        assert worker.open(write_linear(weights), Setting()).seconds > 0


def test_a_session_is_told_what_is_asked_for(write_linear, weights):
    path = write_linear(weights)
    with Worker() as worker:
        with pytest.raises(CorruptArtefact, match="cannot read"):
            worker.open(path, Setting(), {"session.load_model_format": "ORT"})  # it is of ONNX's
        assert worker.open(path, Setting()).seconds > 0
    assert crashing([path], "cpu", {path: {"session.load_model_format": "ORT"}}) == {}


def test_a_process_that_dies_is_told_of():
    with Worker() as worker:
        worker._process.kill()
        with pytest.raises(RecycleError, match="ended with code -9"):
            worker.run([0])


def test_a_model_with_another_open_dimension_is_refused(write_graph):
    from onnx import TensorProto, helper

    path = write_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        [("x", TensorProto.FLOAT, ["n", "m"])],
        [("y", TensorProto.FLOAT, ["n", "m"])],
    )
    with Worker() as worker, pytest.raises(UsageFault, match="leaves its input's shape open"):
        worker.open(path, Setting())


def test_without_transfers_the_same_call_is_bound_once(write_linear, weights):
    with Worker() as worker:
        worker.open(write_linear(weights), Setting(transfers="excluded"))
        assert len(worker.run([0] * 5)) == 5


def test_a_worker_may_be_bound_to_one_core(write_linear, weights):
    import os

    core = min(os.sched_getaffinity(0))
    with Worker(core) as worker:
        worker.open(write_linear(weights), Setting())
        assert os.sched_getaffinity(worker._process.pid) == {core}


def test_a_core_that_is_not_there_is_refused_before_a_process_starts():
    with pytest.raises(UsageFault, match="core 4096 was asked for"):
        Worker(4096)


def test_memory_counts_the_weights(write_linear):
    large = write_linear(np.ones((48, 100_000)), name="large.onnx")  # 19 MB
    with Worker() as worker:
        assert worker.open(large, Setting()).memory > 18e6


def test_answers_are_lines_of_json_whatever_a_library_prints(write_linear, weights):
    """The protocol's pipe is not stdout any more once the worker runs."""
    with Worker() as worker:
        worker.open(write_linear(weights), Setting())
        print(json.dumps({"do": "run", "order": [0]}), file=worker._process.stdin, flush=True)
        assert set(json.loads(worker._process.stdout.readline())) == {"ns"}
