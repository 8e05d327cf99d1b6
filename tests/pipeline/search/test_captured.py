"""The captured engine against the eager one: with small layers both rank exactly, and must agree."""

import copy

import pytest
import torch
from torch import nn

from recycle_pipeline.pipeline.search import captured_evaluation, engines
from recycle_pipeline.pipeline.search.listeners import Listeners
from recycle_pipeline.pipeline.search.loop import search

VARIANTS = [
    {},
    {"kind": "binary"},
    {"kind": "binary", "scores": "signed", "rounding": "iterand"},
    {"reuse": "recycle"},
    {"reuse": "rerandomize", "reuse_period_steps": 4},
    {"reuse": "hybrid"},
    {"optimizer": "adam", "learning_rate": 0.003},
    {"optimizer": "lars", "learning_rate": 0.02, "kind": "binary", "batch_norm": "learned"},
    {"label_smoothing": 0.1, "warmup": 1.0, "schedule": "cosine-epoch"},
    {"kind": "binary", "batch_norm": "learned"},
]


@pytest.fixture
def network():
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(216, 3, bias=False))


def both(network, images, settings, device):
    """(masked network, records) of the eager and of the captured engine."""
    for engine in ("eager", "captured"):
        records, notes = [], []
        masked = search(
            copy.deepcopy(network),
            images,
            settings,
            device,
            Listeners(records.append, note=notes.append),
            engine=engine,
        )
        assert notes == []
        yield masked, records


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_both_engines_find_the_same(image_set, settings_with, network, cpu, changes):
    settings = settings_with(**({"epochs": 5, "prune": 0.7} | changes))
    images = image_set(train=27, test=10, pad=1, flip=True)
    (eager, expected), (fast, records) = both(network, images, settings, cpu)
    for found, wanted in zip(records, expected, strict=True):
        assert (found.epoch, found.written, found.changed) == (wanted.epoch, wanted.written, wanted.changed)
        assert found.loss == pytest.approx(wanted.loss, rel=1e-4)
        assert (found.train_accuracy, found.test_accuracy) == (wanted.train_accuracy, wanted.test_accuracy)
        assert found.learning_rate == wanted.learning_rate
    for ours, theirs in zip(fast.layers, eager.layers, strict=True):
        torch.testing.assert_close(ours.scores, theirs.scores, rtol=1e-3, atol=1e-3)  # of about 0.3
        assert torch.equal(ours.weight.mask, theirs.weight.mask)
    for name, value in eager.state().items():
        assert fast.state()[name] == pytest.approx(value, rel=1e-3, abs=1e-5), name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("changes", VARIANTS, ids=str)
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_on_cuda_the_captured_engine_learns_as_the_eager_one(
    image_set, settings_with, network, changes, scope
):
    """bfloat16 and another order of sums: the same only about."""
    settings = settings_with(**({"epochs": 12, "prune": 0.7, "scope": scope} | changes))
    images = image_set(train=59, test=24)
    (eager, expected), (fast, records) = both(network, images, settings, torch.device("cuda"))
    assert records[0].loss == pytest.approx(expected[0].loss, rel=0.1)
    assert records[-1].loss == pytest.approx(expected[-1].loss, rel=0.3, abs=0.2)  # of 1.1 at first
    if scope == "layer":
        counts = [[int(layer.weight.mask.sum()) for layer in m.layers] for m in (eager, fast)]
        assert counts[0] == counts[1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_on_cuda_a_compiled_search_learns(image_set, settings_with, network):
    records = []
    settings = settings_with(epochs=20, prune=0.5, kind="binary", learning_rate=0.5)
    search(
        network,
        image_set(train=48),
        settings,
        torch.device("cuda"),
        Listeners(records.append),
        engine="compiled",
    )
    assert records[-1].loss < 0.7 * records[0].loss


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_on_cuda_a_network_that_no_graph_can_hold_is_searched_all_the_same(image_set, settings_with):
    class Undecided(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(64, 3, bias=False)

        def forward(self, images):
            flat = images.flatten(1)
            return self.inner(flat * (1.0 if flat.sum().item() > 0 else 2.0))  # the CPU must wait

    notes, records = [], []
    search(
        Undecided(),
        image_set(),
        settings_with(),
        torch.device("cuda"),
        Listeners(records.append, note=notes.append),
    )
    assert len(notes) == 1 and notes[0].startswith("this network cannot be captured in a CUDA graph (")
    assert len(records) == 1


def test_a_network_that_the_fast_engine_refuses_is_searched_eagerly_from_the_same_start(
    image_set, settings_with, network, cpu, monkeypatch
):
    class Refusing:
        def __init__(self, masked, *arguments, **options):
            raise RuntimeError("no graph\nand more")

    images, settings = image_set(), settings_with()
    _, expected = next(both(network, images, settings, cpu))
    monkeypatch.setattr(engines, "CapturedSteps", Refusing)
    notes, records = [], []
    search(network, images, settings, cpu, Listeners(records.append, note=notes.append), engine="captured")
    assert notes == ["this network cannot be captured in a CUDA graph (no graph); the search is slower"]
    assert [r.loss for r in records] == [r.loss for r in expected]


def test_more_images_than_one_evaluation_batch_are_all_counted(
    image_set, settings_with, network, cpu, monkeypatch
):
    monkeypatch.setattr(captured_evaluation, "EVALUATION_BATCH", 7)
    images = image_set(train=24, test=23)
    (_, expected), (_, records) = both(network, images, settings_with(epochs=3), cpu)
    assert [r.test_accuracy for r in records] == [r.test_accuracy for r in expected]


def test_where_nothing_compiles_the_search_is_captured_all_the_same(
    image_set, settings_with, network, cpu, monkeypatch
):
    """Compiling takes a C compiler, which many machines lack."""

    def refuse(function, **options):
        raise RuntimeError("Failed to find C compiler.")

    monkeypatch.setattr(torch, "compile", refuse)
    images, settings = image_set(), settings_with()
    _, expected = next(both(network, images, settings, cpu))
    notes, records = [], []
    search(network, images, settings, cpu, Listeners(records.append, note=notes.append), engine="compiled")
    assert notes == ["this network cannot be compiled (Failed to find C compiler.); the search is slower"]
    assert [r.loss for r in records] == pytest.approx([r.loss for r in expected], rel=1e-4)
