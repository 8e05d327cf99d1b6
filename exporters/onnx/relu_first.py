"""ReLU before max pooling, which is the same to the bit.

Then the convolution before it has it fused, and 8-bit images that are pooled keep their scale.
"""

from collections import Counter

import onnx


def relu_first(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the model in which no ReLU follows max pooling that nothing else takes."""
    found = onnx.ModelProto()
    found.CopyFrom(model)
    nodes = list(found.graph.node)
    while moved := _moved(nodes, {value.name for value in found.graph.output}):
        nodes = moved
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del found.graph.node[:]
    found.graph.node.extend(copies)
    return found


def _moved(nodes: list[onnx.NodeProto], results: set[str]) -> list[onnx.NodeProto] | None:
    """The nodes with one ReLU before the pooling that it followed; None where none follows any."""
    taken = Counter(name for node in nodes for name in node.input)
    made = {name: node for node in nodes for name in node.output}
    for relu in nodes:
        pool = made.get(relu.input[0]) if relu.op_type == "Relu" else None
        if pool is None or pool.op_type != "MaxPool" or len(pool.output) > 1:
            continue
        if taken[pool.output[0]] > 1 or pool.output[0] in results:
            continue
        before, result = pool.input[0], relu.output[0]
        others = [node for node in nodes if node.output[0] != result]
        at = [node.output[0] for node in others].index(pool.output[0])
        pool.output[0] = result
        positive = f"{before}_positive"
        if before not in made or made[before].op_type != "Relu":  # else the second one changes nothing
            mine = made.get(positive)
            if mine is None or mine.op_type != "Relu" or list(mine.input) != [before]:
                while positive in made or positive in taken:
                    positive += "_"
                relu.input[0], relu.output[0] = before, positive
                others.insert(at, relu)
            elif others.index(mine) > at:  # another pooling's, which comes later
                others.remove(mine)
                others.insert(at, mine)
            pool.input[0] = positive
        return others
    return None
