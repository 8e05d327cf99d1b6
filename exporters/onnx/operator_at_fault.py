"""Which layer it is that a form does not take, told as its user knows it."""

from collections.abc import Callable

import onnx

WEIGHTS = (".weight", ".bias")


def operator_at_fault(model: onnx.ModelProto, attempt: Callable[[onnx.ModelProto], object]) -> str:
    """The first operator with which an attempt fails that succeeds on what comes before it.

    Args:
        model: on which `attempt` fails; left as it is.
        attempt: raises any exception on a model that it does not take. It is called on beginnings of the
            graph, as often as the number of its nodes has binary digits.

    Returns:
        ", at " and the operator; "" where no beginning fails, so that the fault is none of a single one.
    """
    nodes = list(model.graph.node)
    if not nodes or _takes(attempt, model, len(nodes)):
        return ""
    good, bad = 0, len(nodes)
    while bad - good > 1:
        half = (good + bad) // 2
        good, bad = (half, bad) if _takes(attempt, model, half) else (good, half)
    return f", at {named(model, nodes[bad - 1])}"


def read_by(model: onnx.ModelProto, constant: str) -> str:
    """The operator that reads a constant."""
    readers = (node for node in model.graph.node if constant in node.input)
    return next((named(model, node) for node in readers), "an operator of no name")


def given_by(model: onnx.ModelProto, value: str) -> str:
    """The operator that gives a value."""
    makers = (node for node in model.graph.node if value in node.output)
    return next((named(model, node) for node in makers), "an operator of no name")


def named(model: onnx.ModelProto, node: onnx.NodeProto) -> str:
    """An operator by its layer where it has weights, else by its name and the layer before it."""
    if own := _layer(node):
        return f"layer '{own}' ({node.op_type})"
    before = _before(model, node)
    return f"operator {node.op_type} ({node.name or 'no name'}){f' after layer {before!r}' if before else ''}"


def _layer(node: onnx.NodeProto) -> str:
    return next((name.removesuffix(end) for name in node.input for end in WEIGHTS if name.endswith(end)), "")


def _before(model: onnx.ModelProto, node: onnx.NodeProto) -> str:
    """The nearest layer with weights that the operator depends on."""
    makers = {name: made for made in model.graph.node for name in made.output if name}
    asked, seen = list(node.input), set[str]()
    while asked:
        made = makers.get(name := asked.pop(0))
        if made is None or name in seen:
            continue
        if layer := _layer(made):
            return layer
        seen.add(name)
        asked += made.input
    return ""


def _takes(attempt: Callable[[onnx.ModelProto], object], model: onnx.ModelProto, nodes: int) -> bool:
    try:
        attempt(_beginning(model, nodes))
    except Exception:
        return False
    return True


def _beginning(model: onnx.ModelProto, nodes: int) -> onnx.ModelProto:
    """The first nodes, and as outputs what the last of them gives; of a type where one can be inferred."""
    found = onnx.ModelProto()
    found.CopyFrom(model)
    if nodes == len(model.graph.node):
        return found
    del found.graph.node[nodes:], found.graph.output[:]
    try:
        inferred = onnx.shape_inference.infer_shapes(found)
    except Exception:
        inferred = found
    known = {info.name: info for info in inferred.graph.value_info}
    for name in filter(None, found.graph.node[-1].output):
        # Of a type that nobody can infer any will do.
        unknown = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        found.graph.output.append(known.get(name, unknown))
    kept = [info for info in found.graph.value_info if info.name not in {o.name for o in found.graph.output}]
    del found.graph.value_info[:]
    found.graph.value_info.extend(kept)
    if any(attribute.HasField("g") for node in found.graph.node for attribute in node.attribute):
        return found  # what the bodies of branches and loops read is not looked for
    read = {name for node in found.graph.node for name in node.input}
    constants = [item for item in found.graph.initializer if item.name in read]
    del found.graph.initializer[:]
    found.graph.initializer.extend(constants)
    return found
