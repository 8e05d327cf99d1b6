"""An ONNX graph by names: arrays, shapes, attributes, and the few edits that shrinking makes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

Array = NDArray[Any]
Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Left:
    """Of a weight that became smaller: what is left of which.

    Attributes:
        name: of the weight that it was.
        rows, columns: which indices of its first and second axis stay, rising; None for all of them.
    """

    name: str
    rows: NDArray[np.int32] | None
    columns: NDArray[np.int32] | None

    @classmethod
    def of(cls, name: str, rows: NDArray[np.bool_], columns: NDArray[np.bool_]) -> "Left":
        """From masks of what stays."""
        found = (None if mask.all() else np.flatnonzero(mask).astype(np.int32) for mask in (rows, columns))
        return cls(name, *found)


class Graph:
    """A model's main graph, edited in place.

    Attributes:
        model: the model.
        left: by name, weights of which something went, but of grouped convolutions.
        shapes: of every tensor that shape inference knows, by name; None where a size is dynamic.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.proto = model.graph
        self.left: dict[str, Left] = {}
        self.nodes = list(model.graph.node)
        self.shapes, self._types = _inferred(model)
        self._initializers = {i.name: i for i in self.proto.initializer}
        self._arrays: dict[str, Array] = {}
        self._by_content: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._names = {name for node in self.nodes for name in (*node.input, *node.output)}
        self._names |= set(self._initializers) | {value.name for value in self.proto.input}

    @property
    def inputs(self) -> list[str]:
        """Names of what a user feeds."""
        return [value.name for value in self.proto.input if value.name not in self._initializers]

    @property
    def outputs(self) -> list[str]:
        return [value.name for value in self.proto.output]

    def array(self, name: str) -> Array | None:
        """The constant of that name; None where it is computed, or can be fed."""
        if name not in self._initializers or any(value.name == name for value in self.proto.input):
            return None
        if name not in self._arrays:
            self._arrays[name] = numpy_helper.to_array(self._initializers[name])
        return self._arrays[name]

    def constant(self, array: Array, like: str) -> str:
        """The name of a constant that holds `array`; a new one, named after `like`, if there is none."""
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._by_content:
            name = self.new_name(like)
            tensor = numpy_helper.from_array(np.ascontiguousarray(array), name)
            self.proto.initializer.append(tensor)
            self._initializers[name] = tensor
            self._arrays[name] = array
            self._by_content[key] = name
        return self._by_content[key]

    def new_name(self, like: str) -> str:
        """A name that no tensor has: `like`.live, then `like`.live2 and so on."""
        base = like.partition(".live")[0]
        name, count = f"{base}.live", 2
        while name in self._names:
            name, count = f"{base}.live{count}", count + 1
        self._names.add(name)
        return name

    def is_float(self, name: str) -> bool:
        """Whether a tensor is known to be float32."""
        return self._types.get(name) == onnx.TensorProto.FLOAT

    def readers(self, name: str) -> list[onnx.NodeProto]:
        """The nodes that read a tensor."""
        return [node for node in self.nodes if name in node.input]

    def is_held(self, name: str) -> bool:
        """Whether a tensor is one of the graph's results, or read by a graph inside a node."""
        return name in self.outputs or any(name in captured(node) for node in self.nodes)

    def add_behind(self, node: onnx.NodeProto, constant: str) -> None:
        """Adds a constant to a node's result; readers of the result read the sum."""
        result = node.output[0]
        node.output[0] = self.new_name(result)
        added = onnx.helper.make_node(
            "Add", [node.output[0], constant], [result], name=self.new_name(node.name)
        )
        self.nodes.insert(self.nodes.index(node) + 1, added)

    def rename_reads(self, name: str, to: str) -> None:
        """Lets all who read tensor `name` read `to`."""
        for node in self.nodes:
            for index, read in enumerate(node.input):
                if read == name:
                    node.input[index] = to

    def clean(self) -> None:
        """Drops nodes whose results nobody reads, then constants and shapes of what is gone."""
        wanted = set(self.outputs)
        kept = []
        for node in reversed(self.nodes):
            if wanted & set(node.output):
                kept.append(node)
                wanted |= {*node.input, *captured(node)}
        self.nodes = kept[::-1]
        _replace(self.proto.initializer, (i for i in self.proto.initializer if i.name in wanted))
        self._initializers = {i.name: i for i in self.proto.initializer}

    def finish(self) -> onnx.ModelProto:
        """The model with its nodes as they are now and shapes inferred anew."""
        _replace(self.proto.node, self.nodes)
        del self.proto.value_info[:]
        # Taken from a copy: inference also says more of the outputs than the model promised.
        inferred = onnx.shape_inference.infer_shapes(self.model, data_prop=True)
        self.proto.value_info.extend(inferred.graph.value_info)
        return self.model


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """A node's attribute as a Python value: numbers, lists of numbers, str."""
    for found in node.attribute:
        if found.name == name:
            value = onnx.helper.get_attribute_value(found)
            return value.decode() if isinstance(value, bytes) else value
    return default


def set_attribute(node: onnx.NodeProto, name: str, value: Any) -> None:
    """Sets a node's attribute, in place of one that is there."""
    _replace(node.attribute, (a for a in node.attribute if a.name != name))
    node.attribute.append(onnx.helper.make_attribute(name, value))


def captured(node: onnx.NodeProto) -> set[str]:
    """Names that graphs inside a node (If, Loop) read; those of their own tensors may be among them."""
    graphs = [g for a in node.attribute for g in (*([a.g] if a.HasField("g") else []), *a.graphs)]
    inner = [n for g in graphs for n in g.node]
    outputs = {value.name for g in graphs for value in g.output}
    return outputs | {name for n in inner for name in (*n.input, *captured(n))}


def _replace(field: Any, items: Any) -> None:
    kept = list(items)
    del field[:]
    field.extend(kept)


def _inferred(model: onnx.ModelProto) -> tuple[dict[str, Shape], dict[str, int]]:
    """Shapes and element types by tensor."""
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes: dict[str, Shape] = {i.name: tuple(i.dims) for i in inferred.initializer}
    types: dict[str, int] = {}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        types[value.name] = value.type.tensor_type.elem_type
        if value.type.tensor_type.HasField("shape"):
            dims = value.type.tensor_type.shape.dim
            shapes[value.name] = tuple(d.dim_value if d.HasField("dim_value") else None for d in dims)
    return shapes, types
