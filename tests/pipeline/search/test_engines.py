"""Which engine is chosen. On CPU the captured engine does the same steps without a graph."""

import copy

import pytest
import torch
from torch import nn

from recycle_pipeline.models.masked_network import MaskedNetwork
from recycle_pipeline.pipeline.search import captured, engines
from recycle_pipeline.pipeline.search.captured import CapturedSteps
from recycle_pipeline.pipeline.search.distributed import ALONE
from recycle_pipeline.pipeline.search.eager import EagerSteps
from recycle_pipeline.pipeline.search.engines import COMPILE_SAVES, COMPILE_SECONDS, Engines
from recycle_pipeline.pipeline.search.listeners import Listeners
from recycle_pipeline.pipeline.search.loop import search
from recycle_pipeline.pipeline.search.streamed import training_images

EPOCHS, STEPS = 10, 3
PAYS = COMPILE_SECONDS / COMPILE_SAVES / (EPOCHS * STEPS)  # seconds per step from which on


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 6, 3, bias=False), nn.Flatten(), nn.Linear(216, 3, bias=False))


@pytest.fixture
def chosen(network, image_set, settings_with, cpu, monkeypatch):
    """(engine, those built, notes) by name, where steps take so long and engines of these names fail."""

    def make(name, seconds=0.0, refuses=()):
        built, released, notes = [], [], []

        class Timed(CapturedSteps):
            step_seconds = seconds

            def __init__(self, *parts, compiled, world, trial):
                built.append("compiled" if compiled else "captured")
                if built[-1] in refuses:
                    raise RuntimeError("cannot")
                assert len(built) == 1 or released or "compiled" in refuses  # one at a time in memory
                super().__init__(*parts, compiled=False, world=world, trial=trial)
                self.name = built[-1]

            def complete(self):
                if "complete" in refuses:
                    raise RuntimeError("cannot")
                super().complete()

            def release(self):
                released.append(self.name)
                super().release()

        monkeypatch.setattr(engines, "CapturedSteps", Timed)
        images = image_set(train=24)
        settings = settings_with(epochs=EPOCHS, batch_size=8)
        plain = copy.deepcopy(network)
        masked = MaskedNetwork(network, settings.recipe)
        training = training_images(images, cpu, 0, 8, ALONE)
        parts = Engines(masked, plain, training, images, settings, notes.append, ALONE)
        steps = parts.chosen(name)
        return "eager" if isinstance(steps, EagerSteps) else steps.name, built, notes

    return make


@pytest.fixture
def engine(network, image_set, settings_with, cpu):
    """The captured engine of batches of 8 and 3."""

    def make(trial):
        images, settings = image_set(train=27, test=10), settings_with(batch_size=8)
        plain = copy.deepcopy(network)
        masked = MaskedNetwork(copy.deepcopy(network), settings.recipe)
        training = training_images(images, cpu, 0, 8, ALONE)
        parts = masked, plain, training, images, settings
        return CapturedSteps(*parts, compiled=False, trial=trial)

    return make


def test_a_trial_leaves_all_but_the_step_that_it_times(engine):
    steps = engine(trial=True)
    assert set(steps.launches) == {8}
    steps.complete()
    assert set(steps.launches) == {8, 3}
    assert steps.evaluate() == engine(trial=False).evaluate()


def test_steps_are_recorded_as_training_whatever_the_network_came_as(engine, network, monkeypatch):
    """A network of the user's may come in eval mode; a graph keeps what it was recorded with."""
    twins, training = [], []
    twin_of = captured.twin_of

    def kept(*parts):
        twins.append(twin_of(*parts))
        return twins[0]

    monkeypatch.setattr(captured, "twin_of", kept)
    record = captured.Recorder.record

    def seen(self, *parts):
        training.append(twins[0][0].training)
        return record(self, *parts)

    monkeypatch.setattr(captured.Recorder, "record", seen)
    network.eval()
    engine(trial=True).complete()
    assert training == [True, True, False]  # a full batch, a smaller one, the evaluation


CAPTURED = "this network cannot be captured in a CUDA graph (cannot); the search is slower"
COMPILED = "this network cannot be compiled (cannot); the search is slower"


@pytest.mark.parametrize(
    ("name", "seconds", "refuses", "found", "built", "notes"),
    [
        ("auto", 0.9 * PAYS, (), "captured", ["captured"], []),
        ("auto", 1.1 * PAYS, (), "compiled", ["captured", "compiled"], []),
        (
            "auto",
            1.1 * PAYS,
            ("compiled",),
            "captured",
            ["captured", "compiled", "captured"],
            [COMPILED],
        ),
        ("auto", 1.1 * PAYS, ("captured",), "eager", ["captured"], [CAPTURED]),
        ("auto", 0.9 * PAYS, ("complete",), "eager", ["captured"], [CAPTURED]),
        (
            "auto",
            1.1 * PAYS,
            ("compiled", "complete"),
            "eager",
            ["captured", "compiled", "captured"],
            [COMPILED, CAPTURED],
        ),
        ("captured", 1.1 * PAYS, (), "captured", ["captured"], []),
        ("compiled", 0.0, (), "compiled", ["compiled"], []),
        (
            "compiled",
            0.0,
            ("captured", "compiled"),
            "eager",
            ["compiled", "captured"],
            [COMPILED, CAPTURED],
        ),
        ("eager", 1.1 * PAYS, (), "eager", [], []),
    ],
)
def test_compiling_is_chosen_where_it_pays_and_what_fails_is_replaced(
    chosen, name, seconds, refuses, found, built, notes
):
    assert chosen(name, seconds, refuses) == (found, built, notes)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("engine", ["captured", "compiled"])
def test_on_cuda_a_batch_may_be_larger_than_what_is_left_for_rehearsals(
    image_set, settings_with, network, engine
):
    records, notes = [], []
    tell = Listeners(records.append, note=notes.append)
    settings = settings_with(batch_size=16, epochs=2)
    search(network, image_set(train=20), settings, torch.device("cuda"), tell, engine=engine)
    assert len(records) == 2 and notes == []
