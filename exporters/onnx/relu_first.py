"""ReLU before max pooling, which is the same to the bit.

Then the convolution before it has it fused, and 8-bit images that are pooled keep their scale.
"""

from collections import Counter

import onnx


def relu_first(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the model in which no ReLU follows max pooling that nothing else takes."""
    found = onnx.ModelProto()
    found.CopyFrom(model)
    graph = found.graph
    taken = Counter(name for node in graph.node for name in node.input)
    taken.update(value.name for value in graph.output)
    pools = {n.output[0]: n for n in graph.node if n.op_type == "MaxPool" and len(n.output) == 1}
    made = {node.output[0]: node.op_type for node in graph.node}
    for relu in [node for node in graph.node if node.op_type == "Relu"]:
        pool = pools.get(relu.input[0])
        if pool is None or taken[relu.input[0]] > 1:
            continue
        before, result = pool.input[0], relu.output[0]
        others = [node for node in graph.node if node.output[0] != result]
        if made.get(before) != "Relu":  # else it changes nothing
            at = [node.output[0] for node in others].index(pool.output[0])
            pool.input[0] = relu.output[0] = f"{before}_positive"
            relu.input[0] = before
            others.insert(at, relu)
        pool.output[0] = result
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in others]
        del graph.node[:]
        graph.node.extend(copies)
        return relu_first(found)
    return found
