"""The windows of a convolution or pool over known maps, in float64 numpy, for any number of axes."""

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view

from recycle_pipeline.exporters.onnx.shrink.graph import attribute
from recycle_pipeline.exporters.onnx.shrink.known import Values
from recycle_pipeline.exporters.onnx.shrink.steps import Refused


@dataclass(frozen=True)
class Windows:
    """Per axis: kernel, strides, dilations and the padding before and after it."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]

    @staticmethod
    def of(node: onnx.NodeProto, kernel: tuple[int, ...]) -> "Windows":
        """As a Conv, MaxPool or AveragePool says. Raises Refused for `auto_pad`, or padding below 0."""
        axes = len(kernel)
        if attribute(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
            raise Refused("auto_pad")
        ones = [1] * axes
        pads = tuple(attribute(node, "pads", [0] * 2 * axes))
        if min(pads, default=0) < 0:
            raise Refused("padding below 0")
        return Windows(
            kernel,
            tuple(attribute(node, "strides", ones)),
            tuple(attribute(node, "dilations", ones)),
            pads[:axes],
            pads[axes:],
        )

    def over(self, maps: Values, out: tuple[int, ...], fill: float) -> Values:
        """(C, *inner) to (C, *out, *kernel); outside of the maps everything is `fill`."""
        spans = [d * (k - 1) + 1 for d, k in zip(self.dilations, self.kernel, strict=True)]
        ends = [
            max(0, (size - 1) * stride + span - before - have)
            for size, stride, span, before, have in zip(
                out, self.strides, spans, self.before, maps.shape[1:], strict=True
            )
        ]
        padding = [(0, 0), *zip(self.before, ends, strict=True)]
        padded = np.pad(maps, padding, constant_values=fill)
        axes = tuple(range(1, maps.ndim))
        seen = sliding_window_view(padded, spans, axis=axes)
        places = tuple(slice(0, n * s, s) for n, s in zip(out, self.strides, strict=True))
        inside = tuple(slice(None, None, d) for d in self.dilations)
        return np.asarray(seen[(slice(None), *places, *inside)])
