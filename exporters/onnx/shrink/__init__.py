"""Exact shrinking of ONNX models: what a mask has made dead is removed."""

from recycle_pipeline.exporters.onnx.shrink.counting import Size
from recycle_pipeline.exporters.onnx.shrink.graph import Left
from recycle_pipeline.exporters.onnx.shrink.shrinking import Shrunk, shrink

__all__ = ["Left", "Shrunk", "Size", "shrink"]
