"""The order in which a runtime unpacks weights: the largest first.

onnxruntime folds the operators that the first layer needs first, and copies what each takes before it
computes. Where weights grow from layer to layer, the memory of such a copy is never enough for the next
weight, so each touches as much that is new as its float32 takes three times: signs, their copy, and their
product with the scale. The largest first, the copy of one weight's signs makes room for those of the next.

Only what operators take from each other holds a runtime to an order. So the shape in which a weight is laid
out is put together from its own sizes and from none of those of the weight before it.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from onnx import NodeProto, helper

from recycle_pipeline.exporters.onnx.compact.member import Member

SAID = "waits for a larger weight"


def largest_first(nodes: Sequence[NodeProto], members: Iterable[Member]) -> list[NodeProto]:
    """Operators that unpack weights, in an order in which each weight of float32 waits for the next larger.

    Args:
        nodes: of all decoders, in an order that may run. A weight comes out of a Reshape, or of operators
            behind one, the first input of each being what the one before it gives.
        members: that they give.

    Returns:
        The same with two small operators for each weight but the largest; in an order that may run.
    """
    made = {output: node for node in nodes for output in node.output}
    waiting = sorted(
        (member for member in members if member.weight.dtype == np.float32),
        key=lambda member: member.weight.size,
        reverse=True,
    )
    behind = {member.name: _from_reshape(member.name, made) for member in waiting}
    last = {node.output[0] for tail in behind.values() for node in tail}
    found = [node for node in nodes if node.output[0] not in last]
    for number, member in enumerate(waiting):
        if number:
            found += _waits(behind[member.name][0], waiting[number - 1])
        found += behind[member.name]
    return found


def _from_reshape(name: str, made: dict[str, NodeProto]) -> list[NodeProto]:
    """The operators from the Reshape on that a weight comes out of."""
    tail = [made[name]]
    while tail[0].op_type != "Reshape":
        tail.insert(0, made[tail[0].input[0]])
    return tail


def _waits(reshape: NodeProto, before: Member) -> list[NodeProto]:
    """Has a Reshape wait for a weight; the operators by which it does."""
    none, shape = f"{reshape.output[0]}/none", f"{reshape.output[0]}/shape"
    nodes = [
        helper.make_node("Shape", [before.name], [none], none, SAID, start=before.weight.ndim),
        helper.make_node("Concat", [none, reshape.input[1]], [shape], shape, axis=0),
    ]
    reshape.input[1] = shape
    return nodes
