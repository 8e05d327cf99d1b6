"""Names and a doc string by which people find their way about a graph, as in Netron."""

from collections.abc import Iterable, Mapping

from onnx import GraphProto

WEIGHT = ".weight"
OF_TORCH = "node_"  # and a kind of operator and a number


def name_after_layers(graph: GraphProto) -> None:
    """Renames operators that torch has named: after the layer whose weight they read, or what they give.

    Of several that read one weight the first has the layer's name.
    """
    weights, taken = {item.name for item in graph.initializer}, set[str]()
    for node in graph.node:
        read = next((each for each in node.input[1:2] if each in weights and WEIGHT in each), "")
        layer = read.rpartition(WEIGHT)[0]
        if not node.name or node.name.startswith(OF_TORCH):
            node.name = layer if layer and layer not in taken else _given(node.output)
        taken.add(node.name)


def name_the_rest(graph: GraphProto) -> None:
    """Names those operators after what they give that have no name, in place."""
    for node in graph.node:
        node.name = node.name or _given(node.output)


def describe(graph: GraphProto, form: str, metadata: Mapping[str, str]) -> None:
    """Says in a graph's doc string which form of which network it is, and how much of that is kept."""
    of = f" of {metadata['arch']}" if "arch" in metadata else ""
    kept = metadata.get("kept", "").replace("/", " of ")
    graph.doc_string = f"{form}{of}{f', whose ticket keeps {kept} weights' if kept else ''}"


def _given(outputs: Iterable[str]) -> str:
    return next(filter(None, outputs), "")
