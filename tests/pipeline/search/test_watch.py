"""A search whose numbers are not finite stops within the epoch, soon, and says since when."""

import copy
import math

import pytest
import torch
from torch import nn

from recycle_pipeline.models.errors import RecycleError
from recycle_pipeline.pipeline.search import watch
from recycle_pipeline.pipeline.search.listeners import Listeners
from recycle_pipeline.pipeline.search.loop import search
from recycle_pipeline.pipeline.search.watch import NEVER, Watch

ADVICE = "; try a lower --learning-rate than 0.1, or a larger --batch-size"


class SpoiltGradients(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values, spoil):
        ctx.spoil = spoil
        return values.clone()

    @staticmethod
    def backward(ctx, gradients):
        return gradients * math.nan if ctx.spoil else gradients, None


class Spoilt(nn.Module):
    """Its loss, or its gradients alone, are NaN at one step (from 1)."""

    def __init__(self, what, at):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 9, bias=False), nn.Linear(9, 3, bias=False))
        self.what, self.at, self.steps = what, at, 0

    def forward(self, images):
        logits = self.layers(images)
        self.steps += self.training
        if not self.training or self.what == "loss":
            return logits * (math.nan if self.training and self.steps == self.at else 1.0)
        return SpoiltGradients.apply(logits, self.steps == self.at)


@pytest.fixture
def stopped(image_set, settings_with, cpu, monkeypatch):
    """Message and number of steps of a search of two epochs of 30 steps, looked at after every tenth."""
    monkeypatch.setattr(watch, "EVERY", 10)

    def run(what, at, engine, **changes):
        done = []
        tell = Listeners(step=lambda steps, total, so_far: done.append(steps))
        settings = settings_with(**({"epochs": 2, "schedule": "constant"} | changes))
        with pytest.raises(RecycleError) as caught:
            search(copy.deepcopy(Spoilt(what, at)), image_set(train=240), settings, cpu, tell, engine)
        return str(caught.value), done[-1]

    return run


@pytest.mark.parametrize("engine", ["eager", "captured"])
@pytest.mark.parametrize(
    ("at", "steps", "epoch"), [(1, 10, 1), (10, 10, 1), (11, 20, 1), (30, 30, 1), (45, 50, 2)]
)
def test_a_loss_that_is_not_finite_stops_the_search_within_the_epoch(stopped, engine, at, steps, epoch):
    said = f"the loss is not finite at step {at}, in epoch {epoch} (learning rate 0.1){ADVICE}"
    assert stopped("loss", at, engine) == (said, steps)


@pytest.mark.parametrize("engine", ["eager", "captured"])
@pytest.mark.parametrize(("at", "steps"), [(1, 10), (10, 10), (11, 20), (45, 50)])
def test_scores_that_are_not_finite_stop_it_too_and_it_says_since_which_steps(stopped, engine, at, steps):
    said = (
        f"the scores are not finite though the loss is, since one of steps {steps - 9} to {steps}, in epoch "
        f"{(at - 1) // 30 + 1} (learning rate 0.1){ADVICE}"
    )
    assert stopped("gradients", at, engine) == (said, steps)


def test_rates_that_fell_meanwhile_are_a_range(stopped):
    said, _ = stopped("gradients", 45, "eager", schedule="cosine")
    assert "since one of steps 41 to 50, in epoch 2 (learning rate 0.00807 to 0.025)" in said


def test_a_look_that_is_read_late_stops_then_and_says_what_it_saw(monkeypatch):
    """As on CUDA, where an answer is read at the next look."""
    monkeypatch.setattr(watch, "EVERY", 10)
    scores, bad = torch.zeros(4), torch.full((), NEVER)
    looked = Watch([scores], bad, 100)
    looked._late = True
    stops = []
    for step in range(100, 140):
        if step == 115:
            scores[2] = math.inf
        stops.append(looked.stops(step))
        if stops[-1]:
            break
    assert len(stops) == 30 and looked.span(129) == (110, 119)


def test_the_steps_since_the_last_look_are_the_span_at_the_end_of_an_epoch(monkeypatch):
    monkeypatch.setattr(watch, "EVERY", 10)
    looked = Watch([torch.zeros(4)], torch.full((), NEVER), 100)
    assert not any(looked.stops(step) for step in range(100, 125)) and looked.span(124) == (120, 124)
