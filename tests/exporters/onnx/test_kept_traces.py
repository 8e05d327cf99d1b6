"""Exports in one process leave nothing of their traces behind, and take nothing from others'."""

import contextvars
import gc
import linecache

import pytest
import torch
from torch import fx, nn
from torch.fx import graph_module
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from recycle_pipeline.exporters.onnx.dense import InputSpec, to_onnx
from recycle_pipeline.models.errors import RecycleError
from recycle_pipeline.models.fold import fold_batch_norm

SPEC = InputSpec(1, 8, (0.5,), (0.25,), False)


class Unexportable(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1) if float(images.sum()) > 0 else images.flatten(1) + 1


def small() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)
    ).eval()


def kept() -> tuple[int, int, int, int]:
    """Owners of symbols, texts of graphs, lines of them, and variables of the thread's context."""
    gc.collect()
    owners = sum(type(each) is ShapeEnv for each in gc.get_objects())
    lines = sum("eval_with_key" in name for name in linecache.cache)
    return owners, len(graph_module._loader.eval_cache), lines, len(contextvars.copy_context())


def test_the_fourth_export_leaves_no_more_than_the_first():
    counts = []
    for _ in range(4):
        folded = fold_batch_norm(small(), [torch.randn(2, 1, 8, 8)])
        assert folded.batch_norms == 1
        to_onnx(folded.network, SPEC)
        del folded
        counts.append(kept())
    assert counts[3] == counts[1], counts  # torch keeps the last one's owner until the next
    assert counts[1][0] <= counts[0][0] + 1, counts


def test_an_export_that_fails_leaves_no_text_of_graphs():
    with pytest.raises(RecycleError):
        to_onnx(Unexportable(), SPEC)
    before = kept()[1:]
    with pytest.raises(RecycleError):
        to_onnx(Unexportable(), SPEC)
    assert kept()[1:] == before


def test_graphs_of_others_keep_their_text():
    theirs = fx.symbolic_trace(small())
    name = theirs.forward.__code__.co_filename
    assert linecache.getlines(name)
    to_onnx(small(), SPEC)
    assert name in graph_module._loader.eval_cache
    assert "def forward" in "".join(linecache.getlines(name))
