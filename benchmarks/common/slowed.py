"""Models that do more work than another and say the same: true slowdowns of a size that was measured."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from recycle_pipeline.evaluators.blocks import Block, Blocks, contrast, twice
from recycle_pipeline.evaluators.sequential import interval
from recycle_pipeline.evaluators.setting import Setting
from recycle_pipeline.evaluators.slowdown import centre


def write_slowed(source: Path, target: Path, hidden: int) -> int:
    """Copies a classifier with K logits, followed by K -> `hidden` -> K, whose product is the identity.

    Returns:
        The multiply-adds that it does more per image.
    """
    model = onnx.load(str(source))
    (output,) = model.graph.output
    classes = output.type.tensor_type.shape.dim[1].dim_value
    wide = np.random.default_rng(0).standard_normal((classes, hidden)) / np.sqrt(hidden)  # (K, hidden)
    weights = {"slow_in": wide, "slow_out": np.linalg.pinv(wide)}
    for node in model.graph.node:
        node.output[:] = ["slow_logits" if name == output.name else name for name in node.output]
    for name, weight in weights.items():
        model.graph.initializer.append(numpy_helper.from_array(weight.astype(np.float32), name))
    model.graph.node.extend(
        [
            helper.make_node("MatMul", ["slow_logits", "slow_in"], ["slow_hidden"]),
            helper.make_node("MatMul", ["slow_hidden", "slow_out"], [output.name]),
        ]
    )
    onnx.checker.check_model(model)
    onnx.save(model, str(target))
    return 2 * classes * hidden


def contrasts(baseline: Path, candidate: Path, count: int, seed: int) -> list[Block]:
    blocks = Blocks(twice(baseline, candidate), Setting(), np.random.default_rng(seed))
    return [blocks.measure() for _ in range(count)]


def ratio(blocks: Sequence[Block], alpha: float = 0.01) -> dict[str, float]:
    """Ratio of medians over blocks, and its interval."""
    found = [contrast(block.medians) for block in blocks]
    between = [each.between for each in found]
    ends = interval(between, alpha)
    middle, low, high = np.exp([float(centre(np.array(between))), ends.low, ends.high])
    return {"ratio": float(middle), "low": float(low), "high": float(high), "blocks": len(blocks)}


def hidden_for(
    source: Path, folder: Path, slowdowns: Sequence[float], grid: Sequence[int], count: int
) -> list[int]:
    """Hidden units that slow `source` down by each fraction, from a straight line through a grid."""
    ratios = []
    for hidden in grid:
        write_slowed(source, folder / "grid.onnx", hidden)
        ratios.append(ratio(contrasts(source, folder / "grid.onnx", count, hidden))["ratio"])
    slope, offset = np.polyfit(grid, ratios, 1)
    print("grid", dict(zip(grid, np.round(ratios, 4).tolist(), strict=True)), flush=True)
    return [max(1, round((1 + slowdown - offset) / slope)) for slowdown in slowdowns]
