"""Which weight is unpacked first."""

import itertools

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from recycle_pipeline.exporters.onnx.compact.convert import compact
from recycle_pipeline.exporters.onnx.compact.packings import ENTRY_PRICE

GROWING = [((16, 3, 3, 3), 0.5), ((60, 16, 3, 3), 0.1), ((300, 400), 0.4), ((300, 60, 3, 3), 0.02)]


def needed_by(model, name):
    """The names of all that an operator's result takes."""
    made = {output: node for node in model.graph.node for output in node.output}
    found, todo = set(), [name]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += made[name].input if name in made else []
    return found


@pytest.mark.parametrize("price", (0.0, ENTRY_PRICE))
def test_each_weight_waits_for_the_next_larger_whatever_its_rank_and_packing(made, price):
    weights = [made.weight(shape, density, "a level each") for shape, density in GROWING]
    model = made.model(*weights)
    found = compact(model, entry_price=price)
    onnx.checker.check_model(model, full_check=True)
    packed = [each for each in found if each.way != "plain"]
    assert len(packed) == 4 - (found[0].way == "plain") and len({each.way for each in packed}) > 1
    falling = sorted(packed, key=lambda each: -each.size)
    for larger, smaller in itertools.pairwise(falling):
        assert larger.name in needed_by(model, smaller.name)
        assert smaller.name not in needed_by(model, larger.name)
    places = [node.output[0] for node in model.graph.node]
    assert [places.index(each.name) for each in falling] == sorted(places.index(each.name) for each in packed)
    for weight, each, got in zip(weights, found, made.unpacked(model, 4), strict=True):
        assert each.way == "plain" or np.array_equal(got, weight)


def test_one_weight_and_weights_of_int8_wait_for_nothing(made):
    model = made.model(made.weight((60, 60, 3, 3), 0.1, "one level"))
    compact(model)
    integers = made.model(*(made.weight((60, size, 3, 3), 0.1, "one level") for size in (30, 60)))
    for number, item in enumerate(list(integers.graph.initializer)):
        weight = np.sign(numpy_helper.to_array(item)).astype(np.int8) * np.int8(64)
        item.CopyFrom(numpy_helper.from_array(weight, f"quantized{number}"))
        nodes = helper.make_node(
            "DequantizeLinear", [f"quantized{number}", "step"], [f"layer{number}.weight"]
        )
        integers.graph.node.insert(0, nodes)
    integers.graph.initializer.append(numpy_helper.from_array(np.float32(0.01), "step"))
    assert {packed.way for packed in compact(integers)} <= {"gaps of 4 bits", "gaps of 5 bits"}
    for each in (model, integers):
        assert "Shape" not in {node.op_type for node in each.graph.node}
