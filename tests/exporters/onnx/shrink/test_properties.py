"""Random networks under random masks: shrunk or not, ONNX Runtime says the same."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recycle_pipeline.exporters.onnx.shrink import shrink

ACTIVATIONS = ["Relu", "Tanh", "HardSwish", "Identity", "LeakyRelu", "Abs"]
POOLS = [
    "MaxPool<kernel_shape=[2,2], strides=[2,2], ceil_mode=1>",
    "AveragePool<kernel_shape=[3,3], strides=[1,1], pads=[1,1,1,1]>",
    "Identity",
]


class Writer:
    """A network as text, a line at a time, with weights drawn as they are asked for."""

    def __init__(self, seed: int, density: float, biased: bool) -> None:
        self.lines: list[str] = []
        self.weights: dict[str, np.ndarray] = {}
        self.generator = np.random.default_rng(seed)
        self.density, self.biased = density, biased

    def line(self, call: str) -> str:
        name = f"t{len(self.lines)}"
        self.lines.append(f"{name} = {call}")
        return name

    def constant(self, array: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = array
        return name

    def masked(self, *shape: int) -> str:
        """Weights under a mask; whole filters and whole inputs are dead now and then."""
        fan = max(1.0, np.prod(shape[1:]) * self.density)
        weight = self.generator.normal(size=shape) / np.sqrt(fan)
        weight *= self.generator.random(shape) < self.density
        weight[self.generator.random(shape[0]) < 0.3] = 0
        weight[:, self.generator.random(shape[1]) < 0.1] = 0
        return self.constant(weight)

    def bias(self, count: int) -> str:
        values = self.generator.normal(size=count) * (self.generator.random(count) < 0.7)
        return self.constant(values if self.biased else np.zeros(count))

    def conv(self, x: str, inputs: int, outputs: int, attributes: str, kernel: int, groups: int = 1) -> str:
        weight, bias = self.masked(outputs, inputs // groups, kernel, kernel), self.bias(outputs)
        return self.line(f"Conv<{attributes}, group={groups}>({x}, {weight}, {bias})")

    def text(self, last: str) -> str:
        lines = "\n".join(self.lines)
        return f"(float[batch,2,9,9] images) => (float[batch,3] {last}) {{ {lines} }}"


SAME = "kernel_shape=[3,3], pads=[1,1,1,1]"
STEMS = [  # attributes, kernel, height and width of the result
    (SAME, 3, (9, 9)),
    ("kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]", 3, (5, 5)),
    ("kernel_shape=[3,3], dilations=[2,2], pads=[2,1,2,0]", 3, (9, 6)),
    ("kernel_shape=[2,2], strides=[2,1], pads=[0,1,1,0]", 2, (5, 9)),
    ("kernel_shape=[1,1]", 1, (9, 9)),
]


@st.composite
def networks(draw):
    """Stem, residual blocks, a pool and two linear layers: (text, weights)."""
    writer = Writer(
        draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([0.02, 0.1, 0.4])), draw(st.booleans())
    )
    attributes, kernel, sides = draw(st.sampled_from(STEMS))
    width = draw(st.sampled_from([4, 6, 12, 16]))

    def activated(x: str) -> str:
        return writer.line(f"{draw(st.sampled_from(ACTIVATIONS))}({x})")

    x = activated(writer.conv("images", 2, width, attributes, kernel))
    for _ in range(draw(st.integers(0, 3))):
        inner = draw(st.sampled_from([width, 2 * width]))
        y = activated(writer.conv(x, width, inner, SAME, 3))
        if draw(st.booleans()):
            y = activated(writer.conv(y, inner, inner, SAME, 3, groups=draw(st.sampled_from([2, inner]))))
        y = writer.conv(y, inner, width, *draw(st.sampled_from([(SAME, 3), ("kernel_shape=[1,1]", 1)])))
        if draw(st.booleans()):
            x = writer.conv(x, width, width, "kernel_shape=[1,1]", 1)
        x = activated(writer.line(f"{draw(st.sampled_from(['Add', 'Add', 'Mul', 'Sub']))}({y}, {x})"))
    x = writer.line(f"{draw(st.sampled_from(POOLS))}({x})")
    if draw(st.booleans()):
        x = writer.line(f"GlobalAveragePool({x})")
        each = 1
    else:
        halved = "MaxPool" in writer.lines[-1]
        each = int(np.prod([-(-side // 2) if halved else side for side in sides]))
    x = writer.line(f"Flatten({x})")
    hidden, matrix, last = writer.bias(5), writer.masked(5, width * each), writer.masked(3, 5)
    x = activated(writer.line(f"Gemm<transB=1>({x}, {matrix}, {hidden})"))
    return writer.text(writer.line(f"Gemm<transB=1>({x}, {last})")), writer.weights


@given(networks(), st.integers(0, 1000), st.booleans())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_runtime_cannot_tell_the_shrunk_network_from_the_whole(model, compared, network, seed, merge):
    text, weights = network
    shrunk = compared(model(text, **weights), seed, merge)
    assert shrunk.after.parameters <= shrunk.before.parameters
    assert shrunk.after.filters <= shrunk.before.filters


@given(networks())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_same_model_gives_the_same_bytes_and_a_second_time_nothing_larger(model, network):
    text, weights = network
    made = model(text, **weights)
    once, again = shrink(made), shrink(made)
    assert once.model.SerializeToString() == again.model.SerializeToString()
    assert shrink(once.model).after.parameters <= once.after.parameters
