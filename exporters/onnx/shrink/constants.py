"""Whole branches whose values are known: replaced by a constant, or by nothing."""

import numpy as np

from recycle_pipeline.exporters.onnx.shrink.elementwise import Binary
from recycle_pipeline.exporters.onnx.shrink.graph import Array
from recycle_pipeline.exporters.onnx.shrink.known import Values, per_channel
from recycle_pipeline.exporters.onnx.shrink.network import Network
from recycle_pipeline.exporters.onnx.shrink.weighted import Weighted

NEUTRAL = {"Add": (0, 1), "Sub": (1,)}  # the operands that have no effect where they are 0


def cut_off_a_branch(network: Network) -> bool:
    """Puts a constant in place of the first branch of which all that is needed is known.

    One of zeros goes without a trace, and one that is added to what a layer made goes into its bias. The
    nodes of the branch stay, for `Graph.clean` to drop.

    Returns:
        Whether there was one. The network is out of date then.
    """
    for step in network.steps:
        if isinstance(step, Binary) and len(step.sources) == 2 and network.graph.is_float(step.result):
            index = _settled(step, network)
            if index is not None:
                _put_constant(step, index, network)
                return True
    return False


def _settled(step: Binary, network: Network) -> int | None:
    """The operand of which all that is needed is known, where the result is not known as well."""
    needed, known = network.needed, network.known
    if not (needed[step.result] & ~known[step.result].mask).any():
        return None
    for index, name in enumerate(step.operands):
        if not (needed[name] & ~known[name].mask).any():
            return index
    return None


def _put_constant(step: Binary, index: int, network: Network) -> None:
    graph, maps = network.graph, network.known[step.operands[index]].maps
    other = step.operands[1 - index]
    may_vanish = network.layouts[other] == step.made and not graph.is_held(step.result)
    neutral = not maps.any() and index in NEUTRAL.get(step.node.op_type, ())
    if may_vanish and (neutral or (step.node.op_type == "Add" and _added_to_bias(maps, other, network))):
        graph.rename_reads(step.result, other)
    else:
        step.node.input[index] = graph.constant(_laid_out(maps, step), step.operands[index])


def _added_to_bias(maps: Values, name: str, network: Network) -> bool:
    """Whether `name` is made by a layer for one reader alone, and the values fit into its bias."""
    makers = [step for step in network.steps if name in step.results]
    alone = len(network.graph.readers(name)) == 1 and not network.graph.is_held(name)
    rows = per_channel(maps)
    if not (alone and makers and isinstance(makers[0], Weighted)) or (rows != rows[:, :1]).any():
        return False
    makers[0].write_bias(rows[:, 0], np.ones(len(rows), bool))
    return True


def _laid_out(maps: Values, step: Binary) -> Array:
    """(1, C, *inner), or (1, C, 1, ...) where every channel is the same everywhere."""
    if step.made.flat:
        return maps.astype(np.float32).reshape(1, -1)
    rows = per_channel(maps)
    if (rows == rows[:, :1]).all():
        maps = rows[:, 0].reshape(-1, *[1] * (maps.ndim - 1))
    return maps.astype(np.float32)[None]
